#!/bin/bash
# tests/scripts/stress.sh for an hour.
export STRESS_SECONDS=${STRESS_SECONDS:-3600}
. "$(dirname "$0")/../scripts/stress.sh"
