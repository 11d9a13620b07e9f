//! NVIDIA GPUs, through the driver's own library, which is loaded when it is asked for and may be absent.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use super::facts::{Facts, bytes};
use record::results::FactVerdict;

/// The driver averages over 1/6 s to 1 s; asking more often tells nothing new.
const INTERVAL: Duration = Duration::from_millis(200);

/// One GPU as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    pub index: u32,
    /// `NVIDIA H100 80GB HBM3`
    pub name: String,
    /// Bytes in all; none if the driver does not say.
    pub memory_bytes: Option<u64>,
    /// Version of the driver.
    pub driver: String,
    /// Percent of the driver's last sample period in which some kernel ran.
    pub utilization: Option<u32>,
}

/// What a GPU did while it was watched.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuUse {
    pub index: u32,
    /// `NVIDIA H100 80GB HBM3`; `unknown` if the driver does not say.
    pub name: String,
    /// Mean over the samples, percent of the time in which some kernel ran; none if the driver gave no sample.
    pub mean_utilization_percent: Option<f64>,
    /// Highest sample, percent.
    pub max_utilization_percent: Option<u32>,
    pub samples: u32,
}

/// Samples the utilization of all GPUs from its start to its stop, in a thread of its own.
#[derive(Debug)]
pub struct GpuWatch {
    stop: Sender<()>,
    thread: Option<JoinHandle<Vec<Tally>>>,
}

#[derive(Debug, Clone, Default)]
struct Tally {
    name: String,
    sum: u64,
    max: u32,
    samples: u32,
}

impl Tally {
    fn add(&mut self, percent: u32) {
        self.sum += u64::from(percent);
        self.max = self.max.max(percent);
        self.samples += 1;
    }

    fn usage(self, index: u32) -> GpuUse {
        let sampled = self.samples > 0;
        GpuUse {
            index,
            name: self.name,
            mean_utilization_percent: sampled.then(|| self.sum as f64 / f64::from(self.samples)),
            max_utilization_percent: sampled.then_some(self.max),
            samples: self.samples,
        }
    }
}

impl GpuWatch {
    /// Starts to watch; none if there is no GPU or no driver, or the thread cannot be started.
    pub fn start() -> Option<Self> {
        let nvml = library().as_ref().ok()?.clone();
        let count = nvml.device_count().ok().filter(|count| *count > 0)?;
        let name = |index| nvml.device_by_index(index)?.name();
        let names = (0..count).map(|index| name(index).unwrap_or_else(|_| "unknown".to_owned())).collect();
        Self::watch(names, move |index| nvml.device_by_index(index)?.utilization_rates().map(|rates| rates.gpu))
    }

    fn watch<E>(names: Vec<String>, sample: impl Fn(u32) -> Result<u32, E> + Send + 'static) -> Option<Self> {
        let (stop, stopped) = channel();
        let work = move || {
            let mut tallies: Vec<Tally> = names.into_iter().map(|name| Tally { name, ..Tally::default() }).collect();
            loop {
                for (index, tally) in (0..).zip(&mut tallies) {
                    if let Ok(percent) = sample(index) {
                        tally.add(percent);
                    }
                }
                if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return tallies;
                }
            }
        };
        let thread = std::thread::Builder::new().name("gpu-watch".to_owned()).spawn(work).ok()?;
        Some(Self { stop, thread: Some(thread) })
    }

    /// Stops and gives the use of each GPU.
    pub fn stop(mut self) -> Vec<GpuUse> {
        let tallies = self.join().unwrap_or_default();
        (0..).zip(tallies).map(|(index, tally)| tally.usage(index)).collect()
    }

    fn join(&mut self) -> Option<Vec<Tally>> {
        // A thread that has ended needs no message.
        let _ = self.stop.send(());
        self.thread.take()?.join().ok()
    }
}

impl Drop for GpuWatch {
    fn drop(&mut self) {
        self.join();
    }
}

/// Adds a fact for each GPU, or that there is none.
pub(super) fn probe(facts: &mut Facts) -> Vec<Gpu> {
    let gpus = library().as_ref().map_err(Clone::clone).and_then(|nvml| list(nvml).map_err(|error| error.to_string()));
    match gpus {
        Ok(gpus) if !gpus.is_empty() => {
            for gpu in &gpus {
                facts.info(&format!("gpu.{}", gpu.index), &format!("GPU {}", gpu.index), describe(gpu));
            }
            gpus
        }
        Err(error) if error != NO_LIBRARY => {
            facts.add(
                "gpu",
                "GPU",
                "unknown",
                FactVerdict::Unknown,
                Some(format!("the NVIDIA driver does not answer ({error}): reload it if nvidia-smi fails too")),
            );
            Vec::new()
        }
        Ok(_) | Err(_) => {
            facts.info("gpu", "GPU", "none found");
            Vec::new()
        }
    }
}

const NO_LIBRARY: &str = "no library";

/// The library, loaded once: loading takes long, and the thread that watches shares it.
fn library() -> &'static Result<Arc<Nvml>, String> {
    static LIBRARY: OnceLock<Result<Arc<Nvml>, String>> = OnceLock::new();
    LIBRARY.get_or_init(|| match Nvml::init() {
        Ok(nvml) => Ok(Arc::new(nvml)),
        Err(NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound | NvmlError::DriverNotLoaded) => {
            Err(NO_LIBRARY.to_owned())
        }
        Err(error) => Err(error.to_string()),
    })
}

fn list(nvml: &Nvml) -> Result<Vec<Gpu>, NvmlError> {
    let driver = nvml.sys_driver_version().unwrap_or_else(|_| "unknown".to_owned());
    (0..nvml.device_count()?)
        .map(|index| {
            let device = nvml.device_by_index(index)?;
            Ok(Gpu {
                index,
                name: device.name()?,
                memory_bytes: device.memory_info().ok().map(|memory| memory.total),
                driver: driver.clone(),
                utilization: device.utilization_rates().ok().map(|rates| rates.gpu),
            })
        })
        .collect()
}

fn describe(gpu: &Gpu) -> String {
    let memory = gpu.memory_bytes.map_or(String::new(), |size| format!(", {}", bytes(size)));
    let used = gpu.utilization.map_or(String::new(), |percent| format!(", {percent}% in use"));
    format!("{}{memory}, driver {}{used}", gpu.name, gpu.driver)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_gpu_in_one_line() {
        let gpu = Gpu {
            index: 0,
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            memory_bytes: Some(80 << 30),
            driver: "570.1".to_owned(),
            utilization: Some(3),
        };
        assert_eq!(describe(&gpu), "NVIDIA H100 80GB HBM3, 80.0 GiB, driver 570.1, 3% in use");
        let quiet = Gpu { memory_bytes: None, utilization: None, ..gpu };
        assert_eq!(describe(&quiet), "NVIDIA H100 80GB HBM3, driver 570.1");
    }

    #[test]
    fn a_watch_tells_what_it_saw() {
        // GPU 0 shows 40%, then nothing but 10%; GPU 1 does not answer.
        let asked = Arc::new(AtomicU32::new(0));
        let counter = asked.clone();
        let watch = GpuWatch::watch(vec!["first".to_owned(), "second".to_owned()], move |index| {
            let before = counter.fetch_add(1, Ordering::SeqCst);
            match (index, before) {
                (0, 0) => Ok(40),
                (0, _) => Ok(10),
                _ => Err(()),
            }
        })
        .unwrap();
        while asked.load(Ordering::SeqCst) < 4 {
            std::thread::yield_now();
        }
        let used = watch.stop();
        let samples = f64::from(used[0].samples);
        assert!(samples >= 2.0);
        assert_eq!(used[0].name, "first");
        assert_eq!(used[0].mean_utilization_percent, Some((30.0 + 10.0 * samples) / samples));
        assert_eq!(used[0].max_utilization_percent, Some(40));
        let silent = GpuUse {
            index: 1,
            name: "second".to_owned(),
            mean_utilization_percent: None,
            max_utilization_percent: None,
            samples: 0,
        };
        assert_eq!(used[1], silent);
    }

    #[test]
    fn a_watch_that_is_dropped_ends_its_thread() {
        let alive = Arc::new(());
        let held = alive.clone();
        let watch = GpuWatch::watch(vec!["only".to_owned()], move |_| {
            let _held = &held;
            Ok::<u32, ()>(1)
        });
        drop(watch);
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn absence_is_no_failure() {
        let mut facts = Facts::default();
        let gpus = probe(&mut facts);
        let facts = facts.into_vec();
        assert_eq!(facts.len(), gpus.len().max(1));
        assert!(facts.iter().all(|fact| fact.key.starts_with("gpu")));
    }
}
