"""Building blocks; they know nothing of registries, samples or configs."""
