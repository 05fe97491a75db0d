//! A small library that the tests build and put between the server and the system: it shifts the
//! world's clock and makes syncs last, as a file says that is mapped into memory. Where none can be
//! built the tests say so and try nothing.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Server;

/// The file holds the clock's offset in seconds, and how many milliseconds a sync lasts.
const SOURCE: &str = r#"
#![no_std]
use core::ffi::{c_char, c_int, c_long, c_void};
#[repr(C)]
pub struct Time { seconds: c_long, nanos: c_long }
unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn usleep(micros: u32) -> c_int;
    fn mmap(at: *mut c_void, size: usize, protect: c_int, flags: c_int, file: c_int, from: c_long)
        -> *mut c_void;
}
static mut TOLD: *const i64 = core::ptr::null();
unsafe fn told(at: usize) -> i64 {
    unsafe {
        if TOLD.is_null() {
            let path = getenv(c"SHIM_FILE".as_ptr());
            TOLD = mmap(core::ptr::null_mut(), 16, 1, 1, open(path, 0), 0) as *const i64;
        }
        core::ptr::read_volatile(TOLD.add(at))
    }
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    unsafe {
        let done = syscall(GETTIME, clock, time);
        if done == 0 && clock == 0 {
            (*time).seconds += told(0) as c_long;
        }
        done as c_int
    }
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    unsafe {
        let mut lasted = 0;
        while lasted < told(1) {
            usleep(5_000);
            lasted += 5;
        }
        syscall(SYNC, file) as c_int
    }
}
#[cfg(target_arch = "x86_64")]
const GETTIME: c_long = 228;
#[cfg(target_arch = "x86_64")]
const SYNC: c_long = 75;
#[cfg(target_arch = "aarch64")]
const GETTIME: c_long = 113;
#[cfg(target_arch = "aarch64")]
const SYNC: c_long = 83;
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
"#;

pub struct Shim {
    file: PathBuf,
    library: PathBuf,
}

impl Shim {
    pub fn build(folder: &Path) -> Option<Shim> {
        let shim = Shim { file: folder.join("shim"), library: folder.join("libshim.so") };
        std::fs::write(&shim.file, [0; 16]).unwrap();
        let source = folder.join("shim.rs");
        std::fs::write(&source, SOURCE).unwrap();
        let built = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
            .args(["--edition", "2024", "--crate-type", "cdylib", "-C", "panic=abort", "-O"])
            .args(["-C", "link-arg=-nostartfiles", "-o"])
            .args([&shim.library, &source])
            .output();
        match built {
            Ok(done) if done.status.success() => Some(shim),
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

    pub fn set_clock(&self, seconds: i64) {
        self.set(0, seconds);
    }

    pub fn set_sync(&self, lasts_ms: i64) {
        self.set(8, lasts_ms);
    }

    /// The file stays the same one, so the server sees it at once.
    fn set(&self, at: u64, value: i64) {
        let file = OpenOptions::new().write(true).open(&self.file).unwrap();
        file.write_all_at(&value.to_ne_bytes(), at).unwrap();
    }

    pub fn server(&self, data: &Path) -> Server {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let (library, file) = (path(&self.library), path(&self.file));
        Server::start_with(data, &[("LD_PRELOAD", &library), ("SHIM_FILE", &file)])
    }
}
