#!/bin/bash
# jq: deep and wide values, and an error.
set -u
. "$(dirname "$0")/lib"
needs jq
in_all jq jq -n '[range(12000) | {at: ., key: "key \(. * 7919 % 977)", text: ("x" * (. % 40))}] as $all
    | ($all | group_by(.key) | map({key: .[0].key, n: length, last: (map(.at) | max)})) as $groups
    | ($all | map(.text // "" | length) | add), ($groups | length), ($groups[:3]),
      ($all | tojson | fromjson | length), (reduce range(5000) as $i ({}; .["k\($i % 977)"] += $i) | add),
      ([limit(2000; repeat([1]))] | flatten | length), ("a,b" | [splits(",")]), error("the end")'
did jq 5 '^12497500$' '"key 10"'
exit $bad
