#!/bin/bash
# A JVM: compiles a program and runs it: threads, direct buffers, deflate, collections by several collectors.
set -u
. "$(dirname "$0")/lib"
needs java javac
cat >Work.java <<'END'
import java.nio.ByteBuffer;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import java.util.zip.*;
public class Work {
    static long deflate(byte[] bytes) {
        Deflater deflater = new Deflater();
        deflater.setInput(bytes);
        deflater.finish();
        byte[] out = new byte[bytes.length + 100];
        int n = deflater.deflate(out);
        deflater.end();
        CRC32 crc = new CRC32();
        crc.update(out, 0, n);
        return crc.getValue();
    }
    public static void main(String[] args) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(6);
        List<Future<Long>> all = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
            final int n = i;
            all.add(pool.submit(() -> {
                ByteBuffer direct = ByteBuffer.allocateDirect(1000 + n * 97 % 60000);
                for (int k = 0; direct.hasRemaining(); k++) direct.put((byte) (k * n >> 3));
                direct.flip();
                byte[] bytes = new byte[direct.remaining()];
                direct.get(bytes);
                return deflate(bytes);
            }));
        }
        long sum = 0;
        for (Future<Long> f : all) sum = sum * 31 + f.get();
        pool.shutdown();
        System.out.println(sum);
        Map<String, List<Integer>> map = IntStream.range(0, 100000).boxed().collect(Collectors.groupingBy(i -> "k" + i * 7919 % 977));
        System.out.println(map.size() + " " + map.values().stream().mapToLong(l -> l.stream().mapToLong(x -> x).sum()).sum());
        Object[] garbage = new Object[1000];
        for (int i = 0; i < 100000; i++) garbage[i % 1000] = new byte[i % 3000];
        System.gc();
        Thread[] threads = new Thread[60];
        for (int i = 0; i < threads.length; i++) (threads[i] = new Thread(() -> deflate(new byte[5000]))).start();
        for (Thread t : threads) t.join();
        try { deep(0); } catch (StackOverflowError e) { System.out.println("StackOverflowError"); }
        try { System.out.println(((Object) null).hashCode()); } catch (NullPointerException e) { System.out.println("NullPointerException"); }
        try { long[][] l = new long[1000][]; for (int i = 0; i < 1000; i++) l[i] = new long[1 << 20]; System.out.println(l.length); } catch (OutOfMemoryError e) { System.out.println("OutOfMemoryError"); }
        Process p = new ProcessBuilder("echo", "from a child").redirectErrorStream(true).start();
        System.out.println(new String(p.getInputStream().readAllBytes()).trim() + " " + p.waitFor());
        System.exit(7);
    }
    static int deep(int n) { return deep(n + 1) + 1; }
}
END
in_modes exact javac sh -c 'rm -f *.class; javac -J-Xmx200m Work.java && sha256sum *.class'
did javac 0 ' Work.class$'
in_modes 'off sample exact' jvm java -Xmx128m -XX:+UseSerialGC -Xshare:auto Work
in_modes exact jvm_g1 java -Xmx128m -XX:+UseG1GC Work
for name in jvm jvm_g1; do
    did $name 7 '^977 4999950000$' '^StackOverflowError$' '^OutOfMemoryError$' '^from a child 0$'
done
exit $bad
