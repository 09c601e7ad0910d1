/* The least that sees what the observer sees: runs its arguments under ptrace, and for each program that is executed reads
 * its arguments and its working folder and writes them to the null device. Prints the wall time from execve to the end, microseconds. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long micros(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

int main(int argc, char **argv) {
    int traced = strcmp(argv[1], "traced") == 0, null = open("/dev/null", O_WRONLY), go[2];
    long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (argc < 3 || pipe2(go, O_CLOEXEC)) return 2;
    pid_t first = fork();
    if (first == 0) {
        char byte;
        if (read(go[0], &byte, 1) != 1) _exit(126);
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    if (traced && ptrace(PTRACE_SEIZE, first, 0, options)) return 3;
    long begin = micros();
    if (write(go[1], "!", 1) != 1) return 4;
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) return 5;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (pid == first) break;
            continue;
        }
        int event = status >> 16, signal = WSTOPSIG(status);
        if (event == PTRACE_EVENT_EXEC) {
            char path[64], line[8192];
            snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
            int file = open(path, O_RDONLY);
            ssize_t length = read(file, line, sizeof line);
            if (length < 0 || write(null, line, length) < 0) return 6;
            close(file);
            snprintf(path, sizeof path, "/proc/%d/cwd", pid);
            length = readlink(path, line, sizeof line);
            if (length < 0 || write(null, line, length) < 0) return 6;
        }
        ptrace(PTRACE_CONT, pid, 0, event ? 0 : signal);
    }
    printf("%ld\n", micros() - begin);
    return 0;
}
