//! The machine's clock jumps by hours, forward and back, under a running server and between two
//! runs. A small library that this test builds stands between the server and the system's clock and
//! adds what a file says. Where none can be built or preloaded the test says so and tries nothing.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::House;
use crate::process::{Server, prove};

/// The world's clock with an offset in seconds, read from a file that is mapped into memory.
const SHIM: &str = r#"
#![no_std]
use core::ffi::{c_char, c_int, c_long, c_void};
#[repr(C)]
pub struct Time { seconds: c_long, nanos: c_long }
unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn mmap(at: *mut c_void, size: usize, protect: c_int, flags: c_int, file: c_int, from: c_long)
        -> *mut c_void;
}
static mut OFFSET: *const i64 = core::ptr::null();
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    unsafe {
        let done = syscall(GETTIME, clock, time);
        if done == 0 && clock == 0 {
            if OFFSET.is_null() {
                let path = getenv(c"CLOCK_OFFSET_FILE".as_ptr());
                OFFSET = mmap(core::ptr::null_mut(), 8, 1, 1, open(path, 0), 0) as *const i64;
            }
            (*time).seconds += core::ptr::read_volatile(OFFSET) as c_long;
        }
        done as c_int
    }
}
#[cfg(target_arch = "x86_64")]
const GETTIME: c_long = 228;
#[cfg(target_arch = "aarch64")]
const GETTIME: c_long = 113;
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
"#;
const HOUR_S: i64 = 3_600;
/// Shortest hold that there is.
const HOLD_S: u64 = 1;
/// Late by its own time at most, and by a look of the timers.
const FREED_WITHIN: Duration = Duration::from_millis(HOLD_S * 2_000 + 1_500);

struct Clock {
    offset: PathBuf,
    library: PathBuf,
}

impl Clock {
    fn build(folder: &Path) -> Option<Clock> {
        let clock = Clock { offset: folder.join("offset"), library: folder.join("libclock.so") };
        clock.set(0);
        let source = folder.join("clock.rs");
        std::fs::write(&source, SHIM).unwrap();
        let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
        let built = Command::new(rustc)
            .args(["--edition", "2024", "--crate-type", "cdylib", "-C", "panic=abort", "-O"])
            .args(["-C", "link-arg=-nostartfiles", "-o"])
            .args([&clock.library, &source])
            .output();
        match built {
            Ok(done) if done.status.success() => Some(clock),
            Ok(done) => {
                println!("NOT TRIED: {}", String::from_utf8_lossy(&done.stderr));
                None
            }
            Err(error) => {
                println!("NOT TRIED: no compiler: {error}");
                None
            }
        }
    }

    /// The file stays the same, so the server sees it at once.
    fn set(&self, seconds: i64) {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let mut file = options.open(&self.offset).unwrap();
        file.write_all(&seconds.to_ne_bytes()).unwrap();
    }

    fn server(&self, data: &Path) -> Server {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let (library, offset) = (path(&self.library), path(&self.offset));
        Server::start_with(data, &[("LD_PRELOAD", &library), ("CLOCK_OFFSET_FILE", &offset)])
    }
}

/// The milliseconds of an id, as its characters order them.
fn order(id: &str) -> String {
    id.rsplit('_').next().unwrap().to_owned()
}

/// Charges, and a hold that runs out: its ids come after all before, and it is freed in time and
/// not early.
async fn an_hour_in_a_second(house: &House, base: &str, ids: &mut Vec<String>) {
    let body = json!({ "user": "user-0", "amount": "1" });
    for _ in 0..3 {
        let charged = house.call(base, "/v1/user/charge", &body).await.unwrap();
        ids.push(order(charged["activityId"].as_str().unwrap()));
    }
    let body = json!({ "user": "user-0", "amount": "5", "expiresInSeconds": HOLD_S });
    let began = Instant::now();
    let held = house.call(base, "/v1/user/holds", &body).await.unwrap();
    ids.push(order(held["id"].as_str().unwrap()));
    while held_now(house, base).await > 0 {
        assert!(began.elapsed() < FREED_WITHIN, "a hold is not freed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lived = began.elapsed();
    assert!(lived >= Duration::from_secs(HOLD_S), "a hold is freed after {lived:?}");
    assert!(ids.is_sorted_by(|one, next| one < next), "ids go back: {ids:?}");
}

async fn held_now(house: &House, base: &str) -> i64 {
    let url = format!("{base}/v1/user/balance?user=user-0");
    let answer = house.client.get(url).bearer_auth(&house.key).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    body["held"].as_str().unwrap().parse().unwrap()
}

async fn nothing_is_negative(house: &House, base: &str) {
    let text = house.client.get(format!("{base}/metrics")).send().await.unwrap();
    let text = text.text().await.unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(!value.starts_with('-'), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_moves_no_id_back_and_frees_no_hold_early_or_late() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clock) = Clock::build(folder.path()) else { return };
    let data = folder.path().join("data");
    let server = clock.server(&data);
    let house = House::open(&server).await;
    let mut ids = Vec::new();
    clock.set(HOUR_S);
    let before = asked_at(&house, &server.base).await;
    clock.set(2 * HOUR_S);
    let ahead_s = asked_at(&house, &server.base).await - before;
    assert!(ahead_s >= HOUR_S, "the server does not run on this clock: {ahead_s}");
    for offset_h in [2, -3, 5, 0] {
        clock.set(offset_h * HOUR_S);
        an_hour_in_a_second(&house, &server.base, &mut ids).await;
        nothing_is_negative(&house, &server.base).await;
    }
    server.kill();
    prove(&data);
    clock.set(-2 * HOUR_S);
    let server = clock.server(&data);
    server.ready(&house.client).await;
    an_hour_in_a_second(&house, &server.base, &mut ids).await;
    nothing_is_negative(&house, &server.base).await;
    server.kill();
    prove(&data);
}

/// The server's time in seconds, as an answer tells it.
async fn asked_at(house: &House, base: &str) -> i64 {
    let url = format!("{base}/v1/user/balance?user=user-0");
    let answer = house.client.get(url).bearer_auth(&house.key).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    let at = body["asOf"].as_str().unwrap();
    domain::time::Timestamp::parse(at).unwrap().seconds()
}
