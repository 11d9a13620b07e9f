/* Helper of the GIL probes: who holds the interpreter's lock, for how long, seen from C.
 *
 * It is loaded with ctypes and includes no header of Python, so that one file serves every interpreter: the six
 * functions that release and re-acquire the lock come in as addresses (gil_init). What it offers:
 *
 *   gil_hook / gil_unhook    put counters before those functions in every loaded extension, and take them out again
 *   gil_begin / gil_end      the measured stretch of the calling thread, called with the lock held
 *   gil_sample               the contended probe; runs in a second thread until gil_stop
 *   gil_spin / gil_sleep     calls of known truth
 *
 * The method and the formulas are in README.md beside this file.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define R_GLOBAL R_X86_64_GLOB_DAT
#define R_CALL R_X86_64_JUMP_SLOT
#define R_POINTER R_X86_64_64
#elif defined(__aarch64__)
#define R_GLOBAL R_AARCH64_GLOB_DAT
#define R_CALL R_AARCH64_JUMP_SLOT
#define R_POINTER R_AARCH64_ABS64
#else
#error "the GIL probe knows x86-64 and aarch64 only"
#endif

enum { SAVE, RESTORE, ENSURE, RELEASE, ACQUIRE_THREAD, RELEASE_THREAD, FUNCTIONS };

static const char *const NAMES[FUNCTIONS] = {
    "PyEval_SaveThread", "PyEval_RestoreThread", "PyGILState_Ensure",
    "PyGILState_Release", "PyEval_AcquireThread", "PyEval_ReleaseThread",
};

static void *real[FUNCTIONS];

void gil_init(void *const *addresses) { memcpy(real, addresses, sizeof real); }

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now(void) { return clock_ns(CLOCK_MONOTONIC); }

/* later - earlier, and 0 where they come the wrong way round: another thread's CPU time, read twice, may go back. */
static uint64_t since(uint64_t later, uint64_t earlier) { return later > earlier ? later - earlier : 0; }

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Time that the thread behind an open schedstat waited for a CPU so far: its second number. 0 where that is unknown. */
static uint64_t waited_for_cpu(int fd) {
    char text[96];
    ssize_t length = fd < 0 ? 0 : pread(fd, text, sizeof text - 1, 0);
    if (length <= 0) return 0;
    text[length] = 0;
    char *second = strchr(text, ' ');
    return second ? strtoull(second, NULL, 10) : 0;
}

static int open_schedstat(void) { return open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC); }

static uint64_t voluntary_switches(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (uint64_t)usage.ru_nvcsw;
}

/* ---- The measured stretch of the subject: the thread that makes the calls ------------------------------------- */

struct stretch {
    uint64_t start_ns, end_ns;
    uint64_t runqueue_ns; /* the subject waited for a CPU */
    uint64_t released_ns; /* the subject had given the lock back, without waiting for a CPU and without our own time */
    uint64_t own_ns;      /* spent in the hooks */
    uint64_t releases;    /* times that the subject gave the lock back */
    uint64_t foreign_ns;  /* other threads held the lock through the hooked functions */
};

#define DEPTH 32

struct thread {
    int known, holds, subject, schedstat;
    uint64_t since_ns, since_runqueue_ns;
    int depth;
    char acquired[DEPTH];
};

static _Thread_local struct thread self;
static struct stretch stretch; /* written by the subject only, except for foreign_ns */
static _Atomic uint64_t foreign_ns;
static _Atomic int active;

static pthread_t subject_thread;
static clockid_t subject_cpu;
static int subject_schedstat = -1;
static char subject_stat[64];
static uint64_t begin_runqueue_ns;
static _Atomic uint64_t ended_ns;

/* A hook takes about 3 us; one that took longer was interrupted, and what it waited for is in the kernel's number. */
#define HOOK_NS 10000u

/* The time, and the time waited for a CPU up to then; the hook's own time is counted. */
static void stamp(uint64_t *at_ns, uint64_t *runqueue_ns, int after) {
    for (int attempt = 0; attempt < 3; attempt++) {
        uint64_t before_ns = now();
        *runqueue_ns = waited_for_cpu(self.schedstat);
        uint64_t after_ns = now();
        *at_ns = after ? after_ns : before_ns;
        stretch.own_ns += least(after_ns - before_ns, HOOK_NS);
        if (after_ns - before_ns < HOOK_NS) return;
    }
}

/* Called with the lock held. */
void gil_begin(void) {
    if (subject_schedstat < 0 || !pthread_equal(subject_thread, pthread_self())) {
        if (subject_schedstat >= 0) close(subject_schedstat);
        subject_schedstat = open_schedstat();
        subject_thread = pthread_self();
        pthread_getcpuclockid(subject_thread, &subject_cpu);
        snprintf(subject_stat, sizeof subject_stat, "/proc/self/task/%ld/stat", (long)syscall(SYS_gettid));
    }
    memset(&stretch, 0, sizeof stretch);
    memset(&self, 0, sizeof self);
    self.known = self.holds = self.subject = 1;
    self.schedstat = subject_schedstat;
    atomic_store(&foreign_ns, 0);
    atomic_store(&ended_ns, 0);
    atomic_store(&active, 1);
    stamp(&stretch.start_ns, &begin_runqueue_ns, 1);
    stretch.own_ns = 0;
}

/* Called with the lock held, in the same thread. */
void gil_end(struct stretch *result) {
    uint64_t runqueue_ns, own_ns = stretch.own_ns;
    stamp(&stretch.end_ns, &runqueue_ns, 0);
    atomic_store(&ended_ns, stretch.end_ns);
    atomic_store(&active, 0);
    stretch.own_ns = own_ns;
    stretch.runqueue_ns = since(runqueue_ns, begin_runqueue_ns);
    stretch.foreign_ns = atomic_load(&foreign_ns);
    self.subject = 0;
    *result = stretch;
}

/* ---- Hooks ---------------------------------------------------------------------------------------------------- */

/* The thread has just given the lock back. */
static void released(void) {
    if (self.subject) {
        stretch.releases++;
        stamp(&self.since_ns, &self.since_runqueue_ns, 1);
    } else if (self.known && self.holds && atomic_load_explicit(&active, memory_order_relaxed)) {
        atomic_fetch_add(&foreign_ns, since(now(), self.since_ns));
    }
    self.known = 1;
    self.holds = 0;
}

/* The thread is about to take the lock. */
static void acquiring(void) {
    if (!self.subject || self.holds) return;
    uint64_t at_ns, runqueue_ns;
    stamp(&at_ns, &runqueue_ns, 0);
    stretch.released_ns += since(since(at_ns, self.since_ns), since(runqueue_ns, self.since_runqueue_ns));
}

/* The thread has the lock. */
static void acquired(void) {
    if (!self.subject) self.since_ns = now();
    self.known = self.holds = 1;
}

static void *hooked_save(void) {
    void *state = ((void *(*)(void))real[SAVE])();
    released();
    return state;
}

static void hooked_restore(void *state) {
    acquiring();
    ((void (*)(void *))real[RESTORE])(state);
    acquired();
}

static void hooked_acquire_thread(void *state) {
    acquiring();
    ((void (*)(void *))real[ACQUIRE_THREAD])(state);
    acquired();
}

static void hooked_release_thread(void *state) {
    ((void (*)(void *))real[RELEASE_THREAD])(state);
    released();
}

static int hooked_ensure(void) {
    int takes = !(self.known && self.holds);
    if (takes) acquiring();
    int state = ((int (*)(void))real[ENSURE])();
    if (takes) acquired();
    if (self.depth < DEPTH) self.acquired[self.depth] = (char)takes;
    self.depth++;
    return state;
}

static void hooked_release(int state) {
    ((void (*)(int))real[RELEASE])(state);
    if (self.depth > 0 && --self.depth < DEPTH && self.acquired[self.depth]) released();
}

static void *const hooks[FUNCTIONS] = {
    (void *)hooked_save,    (void *)hooked_restore,        (void *)hooked_ensure,
    (void *)hooked_release, (void *)hooked_acquire_thread, (void *)hooked_release_thread,
};

struct patch {
    void *const *from; /* by function: what a slot must hold to be changed; NULL: whatever it holds */
    void *const *to;
    const void *own_base;
    long slots;
};

/* Changes one slot, on a page that may be read-only since the loader has finished with it (RELRO). */
static int write_slot(void **slot, void *value, int protect_again) {
    uintptr_t page = (uintptr_t)slot & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
    size_t length = (uintptr_t)(slot + 1) - page;
    if (mprotect((void *)page, length, PROT_READ | PROT_WRITE)) return 0;
    __atomic_store_n(slot, value, __ATOMIC_RELEASE);
    if (protect_again) mprotect((void *)page, length, PROT_READ);
    return 1;
}

static void patch_table(const struct dl_phdr_info *info, const ElfW(Rela) * table, size_t bytes, const ElfW(Sym) * symbols,
                        const char *strings, uintptr_t relro, uintptr_t relro_end, struct patch *patch) {
    for (size_t i = 0; i < bytes / sizeof *table; i++) {
        unsigned type = (unsigned)ELF64_R_TYPE(table[i].r_info);
        if (type != R_GLOBAL && type != R_CALL && type != R_POINTER) continue;
        const char *name = strings + symbols[ELF64_R_SYM(table[i].r_info)].st_name;
        if (name[0] != 'P' || name[1] != 'y') continue;
        for (int function = 0; function < FUNCTIONS; function++) {
            if (strcmp(name, NAMES[function])) continue;
            void **slot = (void **)(info->dlpi_addr + table[i].r_offset);
            if (patch->from && *slot != patch->from[function]) break;
            if (*slot == patch->to[function]) break;
            uintptr_t at = (uintptr_t)slot;
            patch->slots += write_slot(slot, patch->to[function], at >= relro && at < relro_end);
            break;
        }
    }
}

static int patch_object(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size;
    struct patch *patch = data;
    const ElfW(Dyn) *dynamic = NULL;
    uintptr_t relro = 0, relro_end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_DYNAMIC) dynamic = (const void *)start;
        if (header->p_type == PT_GNU_RELRO) { /* the loader protects the whole pages in it */
            relro = start;
            relro_end = (start + header->p_memsz) & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
        }
        if (header->p_type == PT_LOAD && (uintptr_t)patch->own_base >= start &&
            (uintptr_t)patch->own_base < start + header->p_memsz)
            return 0; /* this helper */
    }
    if (!dynamic) return 0;
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    const ElfW(Rela) *calls = NULL, *data_table = NULL;
    size_t calls_bytes = 0, data_bytes = 0;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        /* glibc has made these addresses absolute; musl and the vDSO have not. */
        uintptr_t at = dynamic->d_un.d_ptr;
        if (at < info->dlpi_addr) at += info->dlpi_addr;
        switch (dynamic->d_tag) {
        case DT_SYMTAB: symbols = (const void *)at; break;
        case DT_STRTAB: strings = (const void *)at; break;
        case DT_JMPREL: calls = (const void *)at; break;
        case DT_PLTRELSZ: calls_bytes = dynamic->d_un.d_val; break;
        case DT_RELA: data_table = (const void *)at; break;
        case DT_RELASZ: data_bytes = dynamic->d_un.d_val; break;
        default: break;
        }
    }
    if (!symbols || !strings) return 0;
    if (calls) patch_table(info, calls, calls_bytes, symbols, strings, relro, relro_end, patch);
    if (data_table) patch_table(info, data_table, data_bytes, symbols, strings, relro, relro_end, patch);
    return 0;
}

/* Puts the hooks into every loaded object; returns how many slots they are in. */
long gil_hook(void) {
    struct patch patch = {NULL, hooks, (const void *)hooks, 0};
    dl_iterate_phdr(patch_object, &patch);
    return patch.slots;
}

/* Puts the real functions back where the hooks are. */
long gil_unhook(void) {
    struct patch patch = {hooks, real, (const void *)hooks, 0};
    dl_iterate_phdr(patch_object, &patch);
    return patch.slots;
}

/* ---- The contended probe -------------------------------------------------------------------------------------- */

struct samples {
    uint64_t held, free;         /* points at which the subject held the lock, and did not */
    uint64_t probes;             /* times that the lock was asked for */
    uint64_t naps;               /* times that it woke too early: the subject had waited for a CPU */
    uint64_t wait_ns;            /* slept for the lock: its waits for a CPU are not in it */
    uint64_t runqueue_ns;        /* the probe waited for a CPU, between its first and its last point */
    uint64_t cpu_ns;             /* the probe ran */
};

/* The subject runs that long at least after a probe that stopped it: enough to take the lock back. */
#define RESUMED_NS 20000u
/* The shortest sleep of the probe. */
#define NAP_NS 50000u
/* A sleep of the subject shorter than this, while the probe waited, may be the hand-over of the lock itself. */
#define HANDOVER_NS 200000u

static _Atomic int sampling, stopping;

/* Whether gil_sample has got to its loop. */
int gil_sampling(void) { return atomic_load(&sampling); }

void gil_stop(void) { atomic_store(&stopping, 1); }

static uint64_t random_bits(uint64_t *state) { /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

/* An exponential gap with that mean. */
static uint64_t gap_ns(uint64_t *state, uint64_t mean_ns) {
    double uniform = ((double)(random_bits(state) >> 11) + 0.5) / 9007199254740992.0;
    return (uint64_t)(-(double)mean_ns * log(uniform));
}

static void nap(uint64_t ns) {
    struct timespec length = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
}

/* Whether the subject sleeps: its state in /proc is not R. */
static int subject_sleeps(void) {
    char text[256];
    int fd = open(subject_stat, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (length <= 0) return 0;
    text[length] = 0;
    char *end = strrchr(text, ')');
    return end && end[1] && end[2] && end[2] != 'R';
}

/* Where the subject is in its work. */
struct progress {
    uint64_t at_ns, cpu_ns, runqueue_ns;
};

static struct progress progress_now(void) {
    struct progress p = {now(), clock_ns(subject_cpu), waited_for_cpu(subject_schedstat)};
    return p;
}

/* What the subject has done since, ns: its CPU time; where it sleeps now, the time that it did not wait for a CPU. */
static uint64_t progress_since(struct progress from) {
    struct progress p = progress_now();
    uint64_t ran = since(p.cpu_ns, from.cpu_ns), wall = since(p.at_ns, from.at_ns);
    if (ran > wall / 2 || !subject_sleeps()) return ran;
    return since(wall, since(p.runqueue_ns, from.runqueue_ns));
}

/* Asks the kernel to run this thread soon after it wakes: exact timers and, from Linux 6.12 on, the shortest slice.
 * Neither needs a privilege; where they are not known, the probe waits longer for a CPU and drops more points. */
static void prefer_soon(void) {
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {0};
    prctl(PR_SET_TIMERSLACK, 1UL);
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) || attributes.policy != SCHED_OTHER) return;
    attributes.runtime = 100000;
    syscall(SYS_sched_setattr, 0, &attributes, 0);
}

/* Runs until gil_stop; mean_ns is the mean gap between its points. Called in a thread of the interpreter that has
 * released the lock. */
void gil_sample(uint64_t mean_ns, uint64_t seed, struct samples *result) {
    struct samples s = {0};
    int (*ensure)(void) = (int (*)(void))real[ENSURE];
    void (*release)(int) = (void (*)(int))real[RELEASE];
    uint64_t state = seed | 1;
    prefer_soon();
    int schedstat = open_schedstat();
    uint64_t cpu_before = clock_ns(CLOCK_THREAD_CPUTIME_ID), runqueue_before = waited_for_cpu(schedstat);
    struct progress from = {0, 0, 0};
    uint64_t gap = 0;
    int started = 0;
    atomic_store(&sampling, 1);
    while (!atomic_load(&stopping)) {
        if (!atomic_load(&active)) {
            nap(mean_ns);
            continue;
        }
        if (!started) {
            started = 1;
            from = progress_now();
            gap = gap_ns(&state, mean_ns);
        }
        /* A subject that waits for a CPU makes no progress, and there is no point until it does. */
        uint64_t progress = progress_since(from);
        if (progress < gap) {
            s.naps++;
            nap(gap - progress > NAP_NS ? gap - progress : NAP_NS);
            continue;
        }
        uint64_t subject_before = clock_ns(subject_cpu);
        uint64_t own_wait = waited_for_cpu(schedstat), subject_wait = waited_for_cpu(subject_schedstat);
        uint64_t switches = voluntary_switches(), asked = now();
        int gil = ensure();
        uint64_t got = now();
        /* Who finds the lock free does not sleep on the way to it, however long it may wait for a CPU. */
        uint64_t blocks = voluntary_switches() - switches;
        uint64_t subject_after = clock_ns(subject_cpu);
        release(gil);
        s.probes++;
        from = progress_now();
        gap = gap_ns(&state, mean_ns);
        uint64_t ended = atomic_load(&ended_ns);
        if (ended && ended <= asked) continue;
        if (!blocks) {
            s.free++;
            continue;
        }
        s.held++;
        gap += RESUMED_NS;
        uint64_t wall = since(ended && ended < got ? ended : got, asked);
        own_wait = since(waited_for_cpu(schedstat), own_wait);
        subject_wait = since(waited_for_cpu(subject_schedstat), subject_wait);
        uint64_t asleep = since(wall, own_wait);
        s.wait_ns += asleep;
        /* The points that would have come while the probe waited: the subject held the lock at all of them. They are
         * drawn over the subject's own progress, its CPU time and its sleep. From the second block on, the interpreter
         * has been asked to hand the lock over, so that the subject does not get past its next release; before, it may
         * have run on while the probe waited for a CPU. */
        uint64_t ran = least(since(subject_after, subject_before), blocks == 1 ? asleep : wall);
        uint64_t slept = since(asleep, ran + subject_wait);
        uint64_t held_on = ran + (slept > HANDOVER_NS ? slept : 0);
        for (uint64_t at = gap_ns(&state, mean_ns); at < held_on; at += gap_ns(&state, mean_ns)) s.held++;
    }
    s.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_before;
    s.runqueue_ns = waited_for_cpu(schedstat) - runqueue_before;
    if (schedstat >= 0) close(schedstat);
    atomic_store(&sampling, 0);
    atomic_store(&stopping, 0);
    *result = s;
}

/* ---- Calls of known truth ------------------------------------------------------------------------------------- */

/* Runs for that much CPU time of the calling thread. */
void gil_spin(uint64_t ns) {
    uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + ns;
    while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end) {
    }
}

/* Sleeps for that long. */
void gil_sleep(uint64_t ns) {
    struct timespec length = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &length, &length) == EINTR) {
    }
}
