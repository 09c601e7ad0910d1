/* Which functions of a program are called, in the order of their first calls: `calls LIST PROGRAM ARGUMENTS...` appends
 * the symbol of each to LIST. Puts a breakpoint on the first instruction of every function and takes it away where it is hit,
 * in the program and in whatever it forks. Works for what lets itself be traced: a sandbox that is observed does not. */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define BREAKPOINT 0xcc

struct function {
    uint64_t address;
    const char *name;
    int called;
};

static unsigned char *image, *code;
static Elf64_Phdr *text;
static struct function *functions;
static size_t count;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int by_address(const void *one, const void *other) {
    uint64_t a = ((const struct function *)one)->address, b = ((const struct function *)other)->address;
    return a < b ? -1 : a > b;
}

/* Maps the program and collects its functions. One may have several names: the compiler merges what is the same. */
static void read_program(const char *path) {
    struct stat status;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &status)) die(path);
    image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (image == MAP_FAILED) die(path);
    Elf64_Ehdr *head = (void *)image;
    Elf64_Phdr *segments = (void *)(image + head->e_phoff);
    Elf64_Shdr *sections = (void *)(image + head->e_shoff), *symbols = NULL;
    for (int i = 0; i < head->e_phnum; i++)
        if (segments[i].p_type == PT_LOAD && segments[i].p_flags & PF_X) text = &segments[i];
    for (int i = 0; i < head->e_shnum; i++)
        if (sections[i].sh_type == SHT_SYMTAB) symbols = &sections[i];
    if (!text || !symbols) die("the program has no code or no symbols");
    code = image + text->p_offset;
    Elf64_Sym *all = (void *)(image + symbols->sh_offset);
    const char *strings = (const char *)image + sections[symbols->sh_link].sh_offset;
    size_t most = symbols->sh_size / sizeof *all;
    functions = calloc(most, sizeof *functions);
    for (size_t i = 0; i < most; i++) {
        int inside = all[i].st_value - text->p_vaddr < text->p_filesz;
        if (ELF64_ST_TYPE(all[i].st_info) != STT_FUNC || !all[i].st_size || !inside) continue;
        functions[count++] = (struct function){all[i].st_value, strings + all[i].st_name, 0};
    }
    qsort(functions, count, sizeof *functions, by_address);
}

/* Where the program lies in the process. */
static uint64_t base_of(pid_t process, const char *path) {
    char name[64], line[512], real[4096];
    snprintf(name, sizeof name, "/proc/%d/maps", process);
    FILE *maps = fopen(name, "r");
    if (!maps || !realpath(path, real)) die(path);
    while (fgets(line, sizeof line, maps))
        if (strstr(line, real)) {
            fclose(maps);
            return strtoull(line, NULL, 16);
        }
    die("the program is not mapped");
    return 0;
}

static void set_breakpoints(pid_t process, uint64_t base) {
    char name[64];
    unsigned char *copy = malloc(text->p_filesz);
    memcpy(copy, code, text->p_filesz);
    for (size_t i = 0; i < count; i++) copy[functions[i].address - text->p_vaddr] = BREAKPOINT;
    snprintf(name, sizeof name, "/proc/%d/mem", process);
    int memory = open(name, O_RDWR);
    if (pwrite(memory, copy, text->p_filesz, (off_t)(base + text->p_vaddr)) != (ssize_t)text->p_filesz) die(name);
    close(memory);
    free(copy);
}

/* Notes the function by all its names, and lets the process go on with its first instruction. Whether it stood at a breakpoint. */
static int hit(pid_t process, uint64_t base, FILE *list) {
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, process, NULL, &registers)) return 0;
    uint64_t at = registers.rip - 1;
    struct function key = {.address = at - base};
    struct function *function = bsearch(&key, functions, count, sizeof key, by_address);
    if (!function) return 0;
    while (function > functions && function[-1].address == key.address) function--;
    if (!function->called++)
        for (struct function *name = function; name < functions + count && name->address == key.address; name++)
            fprintf(list, "%s\n", name->name);
    void *word = (void *)(at & ~7UL);
    long value = ptrace(PTRACE_PEEKTEXT, process, word, NULL);
    ((unsigned char *)&value)[at & 7] = code[function->address - text->p_vaddr];
    ptrace(PTRACE_POKETEXT, process, word, value);
    registers.rip = at;
    ptrace(PTRACE_SETREGS, process, NULL, &registers);
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    FILE *list = fopen(argv[1], "a");
    if (!list) die(argv[1]);
    read_program(argv[2]);
    pid_t first = fork();
    if (first == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execv(argv[2], argv + 2);
        _exit(127);
    }
    int status, code_of_first = 1;
    if (waitpid(first, &status, 0) != first || !WIFSTOPPED(status)) die("cannot start the program");
    long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    ptrace(PTRACE_SETOPTIONS, first, NULL, options);
    uint64_t base = base_of(first, argv[2]);
    set_breakpoints(first, base);
    ptrace(PTRACE_CONT, first, NULL, 0);
    for (pid_t process; (process = waitpid(-1, &status, __WALL)) > 0;) {
        if (!WIFSTOPPED(status)) {
            if (process == first) code_of_first = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
            continue;
        }
        int signal = WSTOPSIG(status), event = status >> 16;
        /* Without an event, SIGTRAP is a breakpoint or another program's first stop, and SIGSTOP a child's. */
        int own = event || signal == SIGSTOP || (signal == SIGTRAP && (hit(process, base, list) || 1));
        ptrace(PTRACE_CONT, process, NULL, own ? 0 : signal);
    }
    return code_of_first;
}
