#!/bin/bash
# Ruby: strings, hashes, threads, fork, and the heap compacted.
set -u
. "$(dirname "$0")/lib"
needs ruby
cat >program.rb <<'END'
require 'digest'
require 'json'
require 'zlib'
table = Hash.new { |h, k| h[k] = [] }
40_000.times { |i| table["key #{i * 7919 % 977}"] << { 'at' => i, 'text' => 'x' * (i % 90) } }
table.keys.each_with_index { |k, i| table.delete(k) if i.odd? }
GC.start
GC.compact if GC.respond_to?(:compact)
text = JSON.generate(table.sort.to_h)
puts text.size, Digest::SHA256.hexdigest(text), JSON.parse(text).size
queue, sums = Queue.new, Queue.new
threads = 6.times.map do
  Thread.new { while (i = queue.pop) do sums << Zlib.crc32(Zlib::Deflate.deflate(i.to_s * (i % 300))) end }
end
2000.times { |i| queue << i + 1 }
threads.size.times { queue << nil }
threads.each(&:join)
puts sums.size.times.map { sums.pop }.sum
reader, writer = IO.pipe
pid = fork { reader.close; writer.write(Array.new(5000) { |i| i.to_s * 3 }.join.size.to_s); writer.close; exit!(4) }
writer.close
puts reader.read
Process.wait(pid)
puts $?.exitstatus, `echo from a child`
fibers = Array.new(500) { |i| Fiber.new { 5.times { |k| Fiber.yield('y' * (i + k)) }; nil } }
puts 5.times.sum { fibers.sum { |f| f.resume.size } }
begin
  'x' * (1 << 62)
rescue ArgumentError, NoMemoryError => e
  puts e.class
end
exit 5
END
in_all ruby ruby program.rb
did ruby 5 '^489$' '^from a child$' '^NoMemoryError$|^ArgumentError$'
exit $bad
