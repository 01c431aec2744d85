// Inserts into and walks an ordered map; prints how many operations are done, twice a second.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn insert(map: &mut BTreeMap<u64, String>, n: u64) {
    map.insert(n.wrapping_mul(0x9e3779b97f4a7c15) >> 44, format!("value {}", n));
}

fn walk(map: &BTreeMap<u64, String>, from: u64) -> usize {
    map.range(from..).take(16).map(|(_, v)| v.len()).sum()
}

fn main() {
    let mut map = BTreeMap::new();
    let (mut done, mut sum, mut shown) = (0u64, 0usize, Instant::now());
    loop {
        for _ in 0..1000 {
            insert(&mut map, done);
            sum += walk(&map, done & 0xfffff);
            done += 1;
        }
        if shown.elapsed() > Duration::from_millis(500) {
            shown = Instant::now();
            println!("{}", done);
        }
        if sum == 1 {
            println!("never");
        }
    }
}
