#!/bin/bash
# Each call of the kernel in turn is refused: for want of memory, of rights, of room.
bad=0
for error in ENOMEM EPERM ENOSPC; do
    REFUSED_ERROR=$error bash "${ROOT:-$(dirname "$0")/../..}/tests/scripts/refused.sh" all || bad=1
done
exit $bad
