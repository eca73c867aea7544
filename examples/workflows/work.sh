#!/bin/sh
# Does the tasks of these examples:
#   callboard work --type work --type check --slots 4 -- sh examples/workflows/work.sh
input=$(cat)
if [ "${CALLBOARD_METADATA_OUTCOME:-}" = refused ]; then
  echo "refused, as the workflow file asks for" >&2
  exit 65 # for good: no other attempt
fi
case $CALLBOARD_TASK_TYPE in
  # Gives what it was given, so that the file says what the branch depends on.
  check) printf '%s\n' "$input" ;;
  *) printf 'done: %s\n' "$input" ;;
esac
