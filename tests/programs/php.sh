#!/bin/bash
# PHP, with its own manager of memory and without (USE_ZEND_ALLOC=0), and its server for development under load.
set -u
. "$(dirname "$0")/lib"
needs php ab curl
cat >program.php <<'END'
<?php
$table = [];
for ($i = 0; $i < 60000; $i++) {
    $table["key " . ($i * 7919 % 977)][] = ["at" => $i, "text" => str_repeat("x", $i % 80)];
}
foreach (array_keys($table) as $i => $key) {
    if ($i % 2) unset($table[$key]);
}
ksort($table);
$text = json_encode($table);
echo strlen($text), " ", hash("sha256", $text), " ", count(json_decode($text, true)), "\n";
echo preg_match_all('/"at":\d*7\b/', $text), " ", crc32(serialize($table)), "\n";
class Node { public $next; public $name; }
for ($round = 0; $round < 20; $round++) {
    for ($i = 0; $i < 2000; $i++) { $a = new Node; $b = new Node; $a->next = $b; $b->next = $a; $a->name = "n$i"; }
}
echo gc_collect_cycles() >= 0 ? "collected" : "", "\n";
function numbers() { for ($i = 0; $i < 3000; $i++) yield str_repeat($i, 3); }
echo array_sum(array_map('strlen', iterator_to_array(numbers()))), "\n";
echo trim(shell_exec("echo from a child")), "\n";
ini_set("memory_limit", "64M");
$all = "";
while (true) $all .= str_repeat("much", 100000);
END
in_all php php -d display_errors=stderr program.php
did php 255 '^collected$' '^from a child$' # 255: the memory's limit
USE_ZEND_ALLOC=0 in_all php_malloc php -d display_errors=stderr -r '
    for ($i = 0; $i < 40000; $i++) $t["k" . $i % 977][] = str_repeat("x", $i % 80) . $i;
    echo hash("sha256", serialize($t)), "\n"; exit(6);'
did php_malloc 6 '^[0-9a-f]{64}$'

mkdir site
free_port 18471
cat >site/index.php <<'END'
<?php
$all = [];
for ($i = 0; $i < 500; $i++) $all[] = str_repeat(chr(65 + $i % 26), $i);
echo hash("sha256", implode(",", $all)), "\n";
END
cat >server.sh <<'END'
php -S 127.0.0.1:$port -t site >server.log 2>&1 &
server=$!
for _ in $(seq 200); do
    curl -s http://127.0.0.1:$port/ && break
    sleep 0.05
done
ab -q -n 400 -c 8 http://127.0.0.1:$port/ | grep -E '^(Complete|Failed|Non-2xx)'
kill $server
wait $server
echo "server: $?"
grep -iE 'poolscope: |segfault|signal' server.log
END
in_modes 'off sample exact' php_server bash server.sh
did php_server 1 'Complete requests: *400$' 'Failed requests: *0$' '^server: ' # 1: grep found nothing bad
exit $bad
