/* Lets the k-th call of a kind fail, for tests: preloaded, armed by `arm`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static char kind[16], folder[512];
static long at, n_calls;
static int error;
static size_t least;

void arm(const char *which, const char *where, long k, int number, size_t bytes)
{
    n_calls = 0, at = k, error = number, least = bytes;
    snprintf(folder, sizeof folder, "%s", where);
    snprintf(kind, sizeof kind, "%s", which);
}

long calls(void) { return n_calls; }

static int fails(const char *which)
{
    if (++n_calls != at) return 0;
    errno = error;
    return 1;
}

static int is_here(const char *path) { return path && !strncmp(path, folder, strlen(folder)); }

static int hits(const char *which, const char *path)
{
    return kind[0] && !strcmp(kind, which) && is_here(path) && fails(which);
}

static int hits_fd(const char *which, int fd)
{
    char link[64], path[512];
    if (!kind[0] || strcmp(kind, which)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return hits(which, path);
}

static int hits_size(size_t size)
{
    return kind[0] && !strcmp(kind, "allocate") && size >= least && fails("allocate");
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        REAL(int, name, const char *, int, ...); \
        return hits("open", path) ? -1 : real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define WRITE(name) \
    ssize_t name(int fd, const void *data, size_t n, off_t begin) \
    { \
        REAL(ssize_t, name, int, const void *, size_t, off_t); \
        return hits_fd("write", fd) ? -1 : real(fd, data, n, begin); \
    }
WRITE(pwrite)
WRITE(pwrite64)

ssize_t write(int fd, const void *data, size_t n)
{
    REAL(ssize_t, write, int, const void *, size_t);
    return hits_fd("write", fd) ? -1 : real(fd, data, n);
}

#define ON_FD(which, name, ...) \
    int name(int fd) \
    { \
        REAL(int, name, int); \
        return hits_fd(which, fd) ? -1 : real(fd); \
    }
ON_FD("fsync", fsync)
ON_FD("fsync", fdatasync)

#define TRUNCATE(name) \
    int name(int fd, off_t size) \
    { \
        REAL(int, name, int, off_t); \
        return hits_fd("write", fd) ? -1 : real(fd, size); \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define MOVE(name) \
    int name(const char *path, const char *to) \
    { \
        REAL(int, name, const char *, const char *); \
        return hits("rename", path) ? -1 : real(path, to); \
    }
MOVE(rename)
MOVE(link)

int unlink(const char *path)
{
    REAL(int, unlink, const char *);
    return hits("rename", path) ? -1 : real(path);
}

/* dlsym itself allocates, so that the functions of the C library are called by their own names. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *malloc(size_t size) { return hits_size(size) ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return hits_size(n * size) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t size) { return hits_size(size) ? NULL : __libc_realloc(p, size); }

void *mmap(void *start, size_t size, int protection, int flags, int fd, off_t begin)
{
    REAL(void *, mmap, void *, size_t, int, int, int, off_t);
    if (flags & MAP_ANONYMOUS && hits_size(size)) return MAP_FAILED;
    return real(start, size, protection, flags, fd, begin);
}
