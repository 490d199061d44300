/* Writes down what a process does to the files of one directory: to be loaded before the C library.
 *
 * MINORCH_LOG names the file that it is written to, MINORCH_DIR the directory. Each record is four 64-bit
 * numbers (kind, offset, length of the data, length of the name), the name and the data.
 *
 * While the file MINORCH_FAIL is there, every sync fails, or about one in so many as is written in it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, TRUNCATE = 3, UNLINK = 4, FAILED_SYNC = 5 };

static int log_fd(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = open(getenv("MINORCH_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd;
}

static void note(uint64_t kind, const char *name, uint64_t offset, const void *data, uint64_t size)
{
    const char *directory = getenv("MINORCH_DIR");
    if (!directory || strncmp(name, directory, strlen(directory)))
        return;
    uint64_t head[4] = {kind, offset, size, strlen(name)};
    struct iovec parts[3] = {{head, sizeof head}, {(void *)name, head[3]}, {(void *)data, data ? size : 0}};
    if (writev(log_fd(), parts, 3) < 0)
        abort();
}

static void note_fd(uint64_t kind, int fd, uint64_t offset, const void *data, uint64_t size)
{
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length <= 0)
        return;
    name[length] = 0;
    note(kind, name, offset, data, size);
}

static int sync_fails(int fd)
{
    static unsigned count = 0;
    const char *flag = getenv("MINORCH_FAIL");
    FILE *file = flag ? fopen(flag, "r") : NULL;
    if (!file)
        return 0;
    unsigned every = 1;
    if (fscanf(file, "%u", &every) != 1)
        every = 1;
    fclose(file);
    if ((++count * 2654435761u >> 16) % every)
        return 0;
    note_fd(FAILED_SYNC, fd, 0, 0, 0);
    errno = EIO;
    return 1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    REAL(pwrite64);
    ssize_t done = real(fd, data, size, offset);
    if (done > 0)
        note_fd(WRITE, fd, offset, data, done);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return pwrite64(fd, data, size, offset);
}

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t done = real(fd, data, size);
    if (done > 0 && offset >= 0)
        note_fd(WRITE, fd, offset, data, done);
    return done;
}

int ftruncate64(int fd, off64_t size)
{
    REAL(ftruncate64);
    int failed = real(fd, size);
    if (!failed)
        note_fd(TRUNCATE, fd, size, 0, 0);
    return failed;
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    if (sync_fails(fd))
        return -1;
    int failed = real(fd);
    if (!failed)
        note_fd(SYNC, fd, 0, 0, 0);
    return failed;
}

int fsync(int fd)
{
    REAL(fsync);
    if (sync_fails(fd))
        return -1;
    int failed = real(fd);
    if (!failed)
        note_fd(SYNC, fd, 0, 0, 0);
    return failed;
}

int unlink(const char *name)
{
    REAL(unlink);
    int failed = real(name);
    if (!failed)
        note(UNLINK, name, 0, 0, 0);
    return failed;
}
