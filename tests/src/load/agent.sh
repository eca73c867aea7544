# The program of a `callboard work` that is to be killed: see crew.rs.
input=$(cat)
note() { echo "$1 $CALLBOARD_TASK_ID $CALLBOARD_ATTEMPT $CREW_AGENT" >>"$CREW_DIARY"; }
field() { echo "$input" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }
note begin
if [ "$CALLBOARD_TASK_TYPE" = crew.poison ]; then
    kill -9 "$PPID"
    sleep 5
    exit 1
fi
millis=$(field millis)
sleep "$((millis / 1000)).$(printf '%03d' $((millis % 1000)))"
if [ "$CALLBOARD_RUN" = 1 ] && [ "$CALLBOARD_ATTEMPT" -le "$(field failures)" ]; then
    note ProgramFailed
    exit 1
fi
note completed
printf '%s attempt %s by %s' "$CALLBOARD_TASK_ID" "$CALLBOARD_ATTEMPT" "$CREW_AGENT"
