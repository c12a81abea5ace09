"""Makes the developers' environment: what ``make setup`` runs. Standard library only, never shipped in a wheel."""
