/* The least that has the layers of a sandbox for SAFE and RESTRICTED: all namespaces, one uid mapped, a root of read-only
 * binds with a fresh /proc, private /tmp and /dev/shm, no capabilities, no new privileges, Landlock, a call filter. No
 * report, no PID 1 that reaps, no listener. Prints the microseconds from clone to the end of /bin/true, once a line. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MUST(x) do { if ((x) < 0) { perror(#x); _exit(9); } } while (0)

static const char *const DEVICES[] = {"null", "zero", "full", "random", "urandom", "tty"};
static const char *const FOLDERS[] = {"usr", "etc", "proc", "tmp", "dev", "dev/shm", "run", "var"};

static void put(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    MUST(file);
    MUST(write(file, text, strlen(text)));
    close(file);
}

static void bind_ro(const char *from, const char *to, int is_dir) {
    if (is_dir) mkdir(to, 0755); else close(open(to, O_CREAT | O_WRONLY, 0644));
    MUST(mount(from, to, NULL, MS_BIND | MS_REC, NULL));
    MUST(mount(NULL, to, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | (is_dir ? MS_NODEV : 0), NULL));
}

static void root(void) {
    char to[64], from[64];
    MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    MUST(mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=755"));
    MUST(chdir("/tmp"));
    for (size_t i = 0; i < sizeof FOLDERS / sizeof *FOLDERS; i++) MUST(mkdir(FOLDERS[i], 0755));
    bind_ro("/usr", "usr", 1);
    const char *links[] = {"bin", "sbin", "lib", "lib64"};
    for (int i = 0; i < 4; i++) { snprintf(from, sizeof from, "usr/%s", links[i]); symlink(from, links[i]); }
    bind_ro("/etc/ld.so.cache", "etc/ld.so.cache", 0);
    for (size_t i = 0; i < sizeof DEVICES / sizeof *DEVICES; i++) {
        snprintf(from, sizeof from, "/dev/%s", DEVICES[i]);
        snprintf(to, sizeof to, "dev/%s", DEVICES[i]);
        close(open(to, O_CREAT | O_WRONLY, 0644));
        MUST(mount(from, to, NULL, MS_BIND, NULL));
    }
    MUST(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
    MUST(mount("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=1777"));
    MUST(mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=1777"));
    MUST(mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL));
    MUST(syscall(SYS_pivot_root, ".", "."));
    MUST(umount2(".", MNT_DETACH));
    MUST(chdir("/"));
}

static void landlock(void) {
    struct landlock_ruleset_attr all = {.handled_access_fs = (1ULL << 13) - 1};
    int rules = syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    MUST(rules);
    const char *paths[] = {"/usr", "/tmp", "/dev", "/proc"};
    for (int i = 0; i < 4; i++) {
        struct landlock_path_beneath_attr below = {.parent_fd = open(paths[i], O_PATH | O_CLOEXEC)};
        below.allowed_access = i == 1 || i == 2 ? (1ULL << 13) - 1 : 0xd;
        MUST(syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0));
        close(below.parent_fd);
    }
    MUST(syscall(SYS_landlock_restrict_self, rules, 0));
    close(rules);
}

static void filter(void) {
    static const int refused[] = {
        SYS_ptrace, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_setns, SYS_unshare, SYS_bpf,
        SYS_perf_event_open, SYS_userfaultfd, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_kexec_load, SYS_init_module,
        SYS_finit_module, SYS_delete_module, SYS_swapon, SYS_swapoff, SYS_reboot, SYS_acct, SYS_quotactl,
        SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_process_vm_readv, SYS_process_vm_writev, SYS_io_uring_setup,
        SYS_io_uring_enter, SYS_io_uring_register, SYS_open_tree, SYS_move_mount, SYS_mount_setattr};
    enum { N = sizeof refused / sizeof *refused };
    struct sock_filter code[N + 6];
    int at = 0;
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < N; i++)
        code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refused[i], N - i, 0);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1);
    struct sock_fprog program = {.len = at, .filter = code};
    MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static long once(void) {
    struct timespec begin, end;
    int go[2];
    char path[64], byte = '!', map[64];
    MUST(pipe2(go, O_CLOEXEC));
    clock_gettime(CLOCK_MONOTONIC, &begin);
    long flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    pid_t pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    MUST(pid);
    if (pid == 0) {
        close(go[1]);
        if (read(go[0], &byte, 1) != 1) _exit(9);
        MUST(syscall(SYS_setresgid, 1000, 1000, 1000));
        MUST(syscall(SYS_setresuid, 1000, 1000, 1000));
        struct ifreq lo = {.ifr_flags = IFF_UP | IFF_RUNNING};
        strcpy(lo.ifr_name, "lo");
        int wire = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        MUST(ioctl(wire, SIOCSIFFLAGS, &lo));
        close(wire);
        root();
        for (int cap = 0; cap <= 40; cap++) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
        struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct none[2] = {{0}};
        MUST(syscall(SYS_capset, &head, none));
        MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        landlock();
        filter();
        char *argv[] = {"/bin/true", NULL}, *env[] = {NULL};
        execve(argv[0], argv, env);
        _exit(9);
    }
    close(go[0]);
    snprintf(path, sizeof path, "/proc/%d/setgroups", pid);
    put(path, "deny");
    snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
    snprintf(map, sizeof map, "1000 %d 1\n", geteuid() ? (int)geteuid() : 2000000000);
    put(path, map);
    snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
    snprintf(map, sizeof map, "1000 %d 1\n", getegid() ? (int)getegid() : 2000000000);
    put(path, map);
    MUST(write(go[1], &byte, 1));
    int status;
    MUST(waitpid(pid, &status, 0));
    clock_gettime(CLOCK_MONOTONIC, &end);
    close(go[1]);
    if (status != 0) exit(9);
    return (end.tv_sec - begin.tv_sec) * 1000000L + (end.tv_nsec - begin.tv_nsec) / 1000;
}

int main(int argc, char **argv) {
    for (int i = 0; i < (argc > 1 ? atoi(argv[1]) : 1); i++) {
        printf("%ld\n", once());
        fflush(stdout);
    }
    return 0;
}
