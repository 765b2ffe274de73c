/* Stands before the C library: lets calls below some paths fail, hang, or see another time.

   Preloaded into geats and all that it runs. What to do is said in a file that every process maps
   (GEATS_TEST_CALLS), so that the test arms it from outside, and calls are counted across
   processes. A call is known by its path, or by that of its descriptor. Statically linked programs
   go past it; what the kernel or a program does by itself (stdio's own writes) does too.  */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

enum { GROWS = 1, NAMES = 2, WRITES = 4, MOUNTS = 8, LOOKS = 16 }; /* as in library.py */

struct orders {       /* as in library.py */
  uint32_t armed;     /* 1: calls of these kinds are counted */
  uint32_t kinds;
  uint32_t count;     /* of calls so far */
  uint32_t at;        /* which one fails, from 1; 0 is none */
  uint32_t lasting;   /* all after it fail too */
  uint32_t error;     /* errno; 0 is to hang for as long as it is armed */
  uint32_t asked;     /* how often somebody asked for the time of the day */
  uint32_t unused;
  int64_t jump_s;     /* how far the clock of the day jumps each time, back and forth */
  char below[2048];   /* paths, each with a newline after it */
  char log[1024];     /* each call that is counted, a line: number, failed, program, call, path */
};

static struct orders *orders;

__attribute__((constructor)) static void map_orders(void) {
  const char *file = getenv("GEATS_TEST_CALLS");
  if (!file) return;
  int found = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
  if (found < 0) return;
  void *mapped = mmap(0, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, found, 0);
  syscall(SYS_close, found);
  if (mapped != MAP_FAILED) orders = mapped;
}

static int is_below(const char *path) {
  for (const char *each = orders->below; *each;) {
    size_t length = strcspn(each, "\n");
    if (!strncmp(path, each, length)) return 1;
    each += length + 1;
  }
  return 0;
}

static void path_of(int at, const char *name, char *path, size_t size) {
  char link[64];
  ssize_t length = 0;
  if (name && *name == '/') {
    snprintf(path, size, "%s", name);
    return;
  }
  if (at == AT_FDCWD) {
    if (syscall(SYS_getcwd, path, size) < 0) *path = 0;
    length = strlen(path);
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    length = syscall(SYS_readlinkat, AT_FDCWD, link, path, size - 1);
    if (length < 0) length = 0;
    path[length] = 0;
  }
  if (name && *name) snprintf(path + length, size - length, "/%s", name);
}

static void note(uint32_t number, int fails, const char *call, const char *path) {
  char line[4600];
  int length = snprintf(line, sizeof line, "%u\t%d\t%s\t%s\t%s\n", number, fails,
                        program_invocation_short_name, call, path);
  int log = syscall(SYS_openat, AT_FDCWD, orders->log, O_WRONLY | O_APPEND | O_CREAT, 0600);
  syscall(SYS_write, log, line, length);
  syscall(SYS_close, log);
}

/* Whether the call is to fail; errno says how. */
static int fails(int kind, const char *call, int at, const char *name) {
  char path[4200];
  int before = errno;
  if (!orders || !orders->armed || !(orders->kinds & kind)) return 0;
  path_of(at, name, path, sizeof path);
  errno = before;
  if (!is_below(path)) return 0;
  uint32_t number = __atomic_add_fetch(&orders->count, 1, __ATOMIC_SEQ_CST);
  int struck = orders->at && (number == orders->at || (orders->lasting && number > orders->at));
  note(number, struck, call, path);
  errno = before;
  if (!struck) return 0;
  while (!orders->error && orders->armed) {
    struct timespec pause = {0, 2000000};
    syscall(SYS_nanosleep, &pause, 0);
  }
  if (!orders->error) return 0;
  errno = orders->error;
  return 1;
}

#define REAL(name) ((__typeof__(&name))real(#name, &real_##name))
static void *real(const char *name, void **known) {
  if (!*known) *known = dlsym(RTLD_NEXT, name);
  return *known;
}

/* A call that returns FAILED where it is to fail. */
#define CALL(type, failed, name, declared, passed, kind, at, path) \
  static void *real_##name; \
  type name declared { \
    if (fails(kind, #name, at, path)) return failed; \
    return REAL(name) passed; \
  }
#define CALL64(type, failed, name, declared, passed, kind, at, path) \
  CALL(type, failed, name, declared, passed, kind, at, path) \
  CALL(type, failed, name##64, declared, passed, kind, at, path)

static int kind_of_open(int at, const char *path, int flags) {
  if (flags & O_CREAT && syscall(SYS_faccessat, at, path, F_OK) == 0) return NAMES;
  if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) return GROWS | NAMES;
  return (flags & O_ACCMODE) != O_RDONLY ? NAMES : LOOKS;
}
static int mode_of(int flags, va_list rest) {
  return flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0;
}
#define OPEN(name) \
  static void *real_##name; \
  int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); int mode = mode_of(flags, rest); va_end(rest); \
    if (fails(kind_of_open(AT_FDCWD, path, flags), #name, AT_FDCWD, path)) return -1; \
    return REAL(name)(path, flags, mode); \
  }
#define OPENAT(name) \
  static void *real_##name; \
  int name(int at, const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); int mode = mode_of(flags, rest); va_end(rest); \
    if (fails(kind_of_open(at, path, flags), #name, at, path)) return -1; \
    return REAL(name)(at, path, flags, mode); \
  }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)

int __open64_2(const char *path, int flags) { return open64(path, flags); }
int __open_2(const char *path, int flags) { return open(path, flags); }
int __openat64_2(int at, const char *path, int flags) { return openat64(at, path, flags); }
int __openat_2(int at, const char *path, int flags) { return openat(at, path, flags); }

static int kind_of_mode(const char *mode) { return *mode == 'r' && !strchr(mode, '+') ? LOOKS : GROWS | NAMES; }
CALL64(FILE *, 0, fopen, (const char *path, const char *mode), (path, mode), kind_of_mode(mode), AT_FDCWD, path)
CALL64(int, -1, creat, (const char *path, mode_t mode), (path, mode), GROWS | NAMES, AT_FDCWD, path)

CALL(ssize_t, -1, write, (int fd, const void *data, size_t size), (fd, data, size), GROWS | WRITES, fd, 0)
CALL(ssize_t, -1, writev, (int fd, const struct iovec *data, int count), (fd, data, count), GROWS | WRITES, fd, 0)
CALL(ssize_t, -1, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), GROWS | WRITES, fd, 0)
CALL(ssize_t, -1, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), GROWS | WRITES, fd, 0)
CALL(int, -1, fsync, (int fd), (fd), GROWS | WRITES, fd, 0)
CALL(int, -1, fdatasync, (int fd), (fd), GROWS | WRITES, fd, 0)
CALL(int, -1, syncfs, (int fd), (fd), GROWS | WRITES, fd, 0)
CALL(int, -1, ftruncate, (int fd, off_t size), (fd, size), WRITES, fd, 0)
CALL(int, -1, ftruncate64, (int fd, off64_t size), (fd, size), WRITES, fd, 0)
CALL(int, -1, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size), GROWS | WRITES, fd, 0)
CALL(int, -1, fallocate64, (int fd, int mode, off64_t at, off64_t size), (fd, mode, at, size), GROWS | WRITES, fd, 0)
CALL(int, errno, posix_fallocate, (int fd, off_t at, off_t size), (fd, at, size), GROWS | WRITES, fd, 0)
CALL(int, errno, posix_fallocate64, (int fd, off64_t at, off64_t size), (fd, at, size), GROWS | WRITES, fd, 0)
CALL(ssize_t, -1, copy_file_range, (int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags), (from, a, to, b, size, flags), GROWS | WRITES, to, 0)
CALL(ssize_t, -1, sendfile, (int to, int from, off_t *at, size_t size), (to, from, at, size), GROWS | WRITES, to, 0)
CALL(ssize_t, -1, sendfile64, (int to, int from, off64_t *at, size_t size), (to, from, at, size), GROWS | WRITES, to, 0)

CALL(int, -1, truncate, (const char *path, off_t size), (path, size), NAMES | WRITES, AT_FDCWD, path)
CALL(int, -1, rename, (const char *from, const char *to), (from, to), GROWS | NAMES, AT_FDCWD, to)
CALL(int, -1, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), GROWS | NAMES, b, to)
CALL(int, -1, renameat2, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags), GROWS | NAMES, b, to)
CALL(int, -1, link, (const char *from, const char *to), (from, to), GROWS | NAMES, AT_FDCWD, to)
CALL(int, -1, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), GROWS | NAMES, b, to)
CALL(int, -1, symlink, (const char *text, const char *path), (text, path), GROWS | NAMES, AT_FDCWD, path)
CALL(int, -1, symlinkat, (const char *text, int at, const char *path), (text, at, path), GROWS | NAMES, at, path)
CALL(int, -1, mkdir, (const char *path, mode_t mode), (path, mode), GROWS | NAMES, AT_FDCWD, path)
CALL(int, -1, mkdirat, (int at, const char *path, mode_t mode), (at, path, mode), GROWS | NAMES, at, path)
CALL(int, -1, mknod, (const char *path, mode_t mode, dev_t device), (path, mode, device), GROWS | NAMES, AT_FDCWD, path)
CALL(int, -1, mknodat, (int at, const char *path, mode_t mode, dev_t device), (at, path, mode, device), GROWS | NAMES, at, path)
CALL(int, -1, unlink, (const char *path), (path), NAMES, AT_FDCWD, path)
CALL(int, -1, unlinkat, (int at, const char *path, int flags), (at, path, flags), NAMES, at, path)
CALL(int, -1, rmdir, (const char *path), (path), NAMES, AT_FDCWD, path)
CALL(int, -1, chmod, (const char *path, mode_t mode), (path, mode), NAMES, AT_FDCWD, path)
CALL(int, -1, fchmod, (int fd, mode_t mode), (fd, mode), NAMES, fd, 0)
CALL(int, -1, fchmodat, (int at, const char *path, mode_t mode, int flags), (at, path, mode, flags), NAMES, at, path)
CALL(int, -1, chown, (const char *path, uid_t user, gid_t group), (path, user, group), NAMES, AT_FDCWD, path)
CALL(int, -1, lchown, (const char *path, uid_t user, gid_t group), (path, user, group), NAMES, AT_FDCWD, path)
CALL(int, -1, fchown, (int fd, uid_t user, gid_t group), (fd, user, group), NAMES, fd, 0)
CALL(int, -1, fchownat, (int at, const char *path, uid_t user, gid_t group, int flags), (at, path, user, group, flags), NAMES, at, path)
CALL(int, -1, utimensat, (int at, const char *path, const struct timespec *times, int flags), (at, path, times, flags), NAMES, at, path)
CALL(int, -1, futimens, (int fd, const struct timespec *times), (fd, times), NAMES, fd, 0)
CALL(int, -1, setxattr, (const char *path, const char *name, const void *value, size_t size, int flags), (path, name, value, size, flags), GROWS | NAMES, AT_FDCWD, path)
CALL(int, -1, lsetxattr, (const char *path, const char *name, const void *value, size_t size, int flags), (path, name, value, size, flags), GROWS | NAMES, AT_FDCWD, path)
CALL(int, -1, fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags), (fd, name, value, size, flags), GROWS | NAMES, fd, 0)
CALL(int, -1, mount, (const char *from, const char *to, const char *type, unsigned long flags, const void *options), (from, to, type, flags, options), MOUNTS, AT_FDCWD, to)
CALL(int, -1, umount, (const char *path), (path), MOUNTS, AT_FDCWD, path)
CALL(int, -1, umount2, (const char *path, int flags), (path, flags), MOUNTS, AT_FDCWD, path)
CALL(int, -1, ioctl, (int fd, unsigned long request, void *argument), (fd, request, argument), GROWS | NAMES | WRITES, fd, 0)

/* What only looks. */
CALL(ssize_t, -1, read, (int fd, void *data, size_t size), (fd, data, size), LOOKS, fd, 0)
CALL(ssize_t, -1, pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at), LOOKS, fd, 0)
CALL(ssize_t, -1, pread64, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at), LOOKS, fd, 0)
CALL(DIR *, 0, opendir, (const char *path), (path), LOOKS, AT_FDCWD, path)
CALL(DIR *, 0, fdopendir, (int fd), (fd), LOOKS, fd, 0)
CALL(struct dirent *, 0, readdir, (DIR *folder), (folder), LOOKS, dirfd(folder), 0)
CALL(struct dirent64 *, 0, readdir64, (DIR *folder), (folder), LOOKS, dirfd(folder), 0)
CALL(ssize_t, -1, readlink, (const char *path, char *text, size_t size), (path, text, size), LOOKS, AT_FDCWD, path)
CALL(ssize_t, -1, readlinkat, (int at, const char *path, char *text, size_t size), (at, path, text, size), LOOKS, at, path)
struct stat;
struct stat64;
struct statfs;
struct statfs64;
struct statvfs;
struct statvfs64;
int stat(const char *, struct stat *);
int stat64(const char *, struct stat64 *);
int lstat(const char *, struct stat *);
int lstat64(const char *, struct stat64 *);
int fstatat(int, const char *, struct stat *, int);
int fstatat64(int, const char *, struct stat64 *, int);
int statvfs(const char *, struct statvfs *);
int statvfs64(const char *, struct statvfs64 *);
CALL(int, -1, stat, (const char *path, struct stat *found), (path, found), LOOKS, AT_FDCWD, path)
CALL(int, -1, stat64, (const char *path, struct stat64 *found), (path, found), LOOKS, AT_FDCWD, path)
CALL(int, -1, lstat, (const char *path, struct stat *found), (path, found), LOOKS, AT_FDCWD, path)
CALL(int, -1, lstat64, (const char *path, struct stat64 *found), (path, found), LOOKS, AT_FDCWD, path)
CALL(int, -1, fstatat, (int at, const char *path, struct stat *found, int flags), (at, path, found, flags), LOOKS, at, path)
CALL(int, -1, fstatat64, (int at, const char *path, struct stat64 *found, int flags), (at, path, found, flags), LOOKS, at, path)
CALL(int, -1, statvfs, (const char *path, struct statvfs *found), (path, found), LOOKS, AT_FDCWD, path)
CALL(int, -1, statvfs64, (const char *path, struct statvfs64 *found), (path, found), LOOKS, AT_FDCWD, path)

/* The clock of the day jumps; what is monotonic goes on as it was. */
static const double jumps[] = {0, 1, -1, 1.0 / 8760, -1.0 / 8760, 0.5, 0, -0.3};
static int64_t ahead_s(void) {
  uint32_t number = __atomic_add_fetch(&orders->asked, 1, __ATOMIC_SEQ_CST);
  return orders->jump_s * jumps[number % (sizeof jumps / sizeof *jumps)];
}
static void *real_clock_gettime;
int clock_gettime(clockid_t clock, struct timespec *now) {
  int answer = ((int (*)(clockid_t, struct timespec *))real("clock_gettime", &real_clock_gettime))(clock, now);
  if (!answer && orders && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += ahead_s();
  return answer;
}
time_t time(time_t *where) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (where) *where = now.tv_sec;
  return now.tv_sec;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  struct timespec found;
  clock_gettime(CLOCK_REALTIME, &found);
  now->tv_sec = found.tv_sec;
  now->tv_usec = found.tv_nsec / 1000;
  return 0;
}
