/* Makes a chosen system call of a process fail, or the process end there. Preloaded; see driver.py.
 *
 * arm(mode, n) counts the calls below from then on. The n-th
 *   mode 1  fails with EIO and does nothing;
 *   mode 2  does its work, and then reports EIO;
 *   mode 3  fails, and so do all after it;
 *   mode 4  never comes: the process ends as if it had been killed.
 *
 * Modes 2 to 4 count only calls that change what is on the disk.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int mode, wanted, count;
static char last[64];

void arm(int how, int which) { mode = how, wanted = which, count = 0; }

/* How many calls there were. */
int disarm(void) { mode = 0; return count; }

/* Name of the call that failed. */
const char *last_call(void) { return last; }

/* Calls that change nothing make no difference but in mode 1. */
static int is_hit(const char *name, int changes)
{
    if (!mode || (mode != 1 && !changes)) return 0;
    count++;
    if (count == wanted) {
        int i = 0;
        for (; name[i] && i < 63; i++) last[i] = name[i];
        last[i] = 0;
        if (mode == 4) syscall(SYS_exit_group, 77);
        return 1;
    }
    return mode == 3 && count > wanted;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define CALL(changes, type, name, parameters, arguments, failure) \
    type name parameters                                    \
    {                                                       \
        static __typeof__(&name) real;                      \
        if (!real) real = REAL(name);                       \
        if (!is_hit(#name, changes)) return real arguments; \
        if (mode == 2) (void)!real arguments;               \
        errno = EIO;                                        \
        return failure;                                     \
    }

#define OPEN(name, parameters, arguments)                   \
    int name parameters                                     \
    {                                                       \
        static int (*real)();                               \
        va_list rest;                                       \
        va_start(rest, flags);                              \
        int permissions = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0; \
        va_end(rest);                                       \
        if (!real) real = (int (*)())dlsym(RTLD_NEXT, #name); \
        if (!is_hit(#name, flags & (O_CREAT | O_TRUNC))) return real arguments; \
        if (mode == 2) (void)!real arguments;               \
        errno = EIO;                                        \
        return -1;                                          \
    }

OPEN(open, (const char *path, int flags, ...), (path, flags, permissions))
OPEN(open64, (const char *path, int flags, ...), (path, flags, permissions))
OPEN(openat, (int at, const char *path, int flags, ...), (at, path, flags, permissions))
OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, permissions))
CALL(0, ssize_t, read, (int fd, void *to, size_t n), (fd, to, n), -1)
CALL(1, ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n), -1)
CALL(1, size_t, fwrite, (const void *from, size_t a, size_t n, FILE *to), (from, a, n, to), 0)
CALL(1, int, fflush, (FILE *to), (to), EOF)
CALL(0, off_t, lseek, (int fd, off_t to, int from), (fd, to, from), -1)
CALL(0, off64_t, lseek64, (int fd, off64_t to, int from), (fd, to, from), -1)
CALL(1, int, ftruncate, (int fd, off_t n), (fd, n), -1)
CALL(1, int, ftruncate64, (int fd, off64_t n), (fd, n), -1)
CALL(1, int, fsync, (int fd), (fd), -1)
CALL(0, int, flock, (int fd, int how), (fd, how), -1)
CALL(1, int, rename, (const char *from, const char *to), (from, to), -1)
CALL(1, int, link, (const char *from, const char *to), (from, to), -1)
CALL(1, int, linkat, (int a, const char *from, int b, const char *to, int how), (a, from, b, to, how), -1)
CALL(1, int, unlink, (const char *path), (path), -1)
CALL(1, int, unlinkat, (int at, const char *path, int how), (at, path, how), -1)
CALL(1, int, mkdir, (const char *path, mode_t how), (path, how), -1)
CALL(1, int, rmdir, (const char *path), (path), -1)
CALL(0, int, stat, (const char *path, struct stat *to), (path, to), -1)
CALL(0, int, stat64, (const char *path, struct stat64 *to), (path, to), -1)
CALL(0, int, lstat, (const char *path, struct stat *to), (path, to), -1)
CALL(0, int, lstat64, (const char *path, struct stat64 *to), (path, to), -1)
CALL(0, int, fstat, (int fd, struct stat *to), (fd, to), -1)
CALL(0, int, fstat64, (int fd, struct stat64 *to), (fd, to), -1)
CALL(0, int, fstatat, (int at, const char *path, struct stat *to, int how), (at, path, to, how), -1)
CALL(0, int, fstatat64, (int at, const char *path, struct stat64 *to, int how), (at, path, to, how), -1)
CALL(0, int, statvfs, (const char *path, struct statvfs *to), (path, to), -1)
CALL(0, int, statvfs64, (const char *path, struct statvfs64 *to), (path, to), -1)
CALL(0, int, access, (const char *path, int how), (path, how), -1)
CALL(0, DIR *, opendir, (const char *path), (path), 0)
CALL(0, DIR *, fdopendir, (int fd), (fd), 0)

/* The descriptor is closed whatever is reported, as Linux does. */
int close(int fd)
{
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "close");
    int is_failing = is_hit("close", 0), result = real(fd);
    if (is_failing) errno = EIO, result = -1;
    return result;
}
