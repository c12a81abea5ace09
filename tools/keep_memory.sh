# Sourced by the launch scripts: with KEEP_MEMORY=1, glibc keeps freed memory instead of handing every large tensor back
# to the system and asking for it again at the next operation. Worth it where tensors live on the CPU.
if [ "${KEEP_MEMORY:-0}" = 1 ]; then
  export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456
fi
