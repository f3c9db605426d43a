#!/bin/bash
# Rust: a program on the system's allocator (aligned, zeroed and grown blocks, threads, a panic), and its compiler.
set -u
. "$(dirname "$0")/lib"
[ -d "${CARGO_HOME:-$HOME_BEFORE/.cargo}" ] && export CARGO_HOME=${CARGO_HOME:-$HOME_BEFORE/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME_BEFORE/.rustup}
needs rustc gcc
cat >program.rs <<'END'
use std::collections::{BTreeMap, HashMap};
use std::sync::{mpsc, Arc, Mutex};
use std::thread;
#[repr(align(256))]
#[derive(Clone)]
struct Wide([u8; 300]);
fn work(seed: usize) -> usize {
    let mut map: HashMap<String, Vec<String>> = HashMap::new();
    for i in 0..8000usize {
        map.entry(format!("key {}", (i * 31 + seed) % 997)).or_default().push("x".repeat(i % 90));
    }
    let wide: Vec<Box<Wide>> = (0..200).map(|i| Box::new(Wide([i as u8; 300]))).collect();
    assert!(wide.iter().all(|w| (&**w as *const Wide as usize) % 256 == 0));
    map.values().flatten().map(|s| s.len()).sum::<usize>() + wide.iter().map(|w| w.0[7] as usize).sum::<usize>()
}
fn main() {
    let (send, receive) = mpsc::channel();
    let shared = Arc::new(Mutex::new(BTreeMap::new()));
    let threads: Vec<_> = (0..6).map(|n| {
        let (send, shared) = (send.clone(), shared.clone());
        thread::spawn(move || {
            let sum = work(n);
            shared.lock().unwrap().insert(n, vec![sum; 100]);
            for i in 0..500 { send.send(vec![n as u8; i]).unwrap(); }
        })
    }).collect();
    drop(send);
    println!("{}", receive.iter().map(|v: Vec<u8>| v.len()).sum::<usize>());
    for t in threads { t.join().unwrap(); }
    println!("{:?}", shared.lock().unwrap().iter().map(|(k, v)| k * v[0]).collect::<Vec<_>>());
    let zeroed = vec![0u64; 1 << 20];
    println!("{}", zeroed.iter().sum::<u64>());
    let mut grown = Vec::new();
    for i in 0..300000u32 { grown.push(i ^ 5); }
    grown.shrink_to_fit();
    println!("{}", grown.iter().map(|&x| x as u64).sum::<u64>());
    println!("{}", Vec::<u8>::new().try_reserve(isize::MAX as usize).is_err());
    println!("{}", thread::spawn(|| { let v = vec![1]; if v.len() > 0 { panic!("as meant") } }).join().is_err());
    std::process::exit(9);
}
END
rustc -O -o program program.rs >log 2>&1 || fail "rustc: $(cat log)"
in_all rust ./program
did rust 9 '^44999850000$' '^true$'
in_modes exact rustc sh -c 'rm -f again; rustc -C opt-level=1 -o again program.rs && ./again; echo $?'
did rustc 0 '^44999850000$' '^9$'
exit $bad
