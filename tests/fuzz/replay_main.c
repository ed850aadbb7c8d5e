// Runs a fuzz target over files instead of libFuzzer: every file given, and every file in the folders
// given. So the committed inputs are tests wherever there is a C compiler.
//
//   replay/<name> FILE|FOLDER ...
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

static unsigned long inputs;

static void die(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(1);
}

// Each input has memory of exactly its size, so that ASan sees a read beyond it.
static void run_file(const char *path, size_t bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f) die(path);
    uint8_t *data = malloc(bytes ? bytes : 1);
    if (!data || fread(data, 1, bytes, f) != bytes) die(path);
    fclose(f);
    LLVMFuzzerTestOneInput(data, bytes);
    free(data);
    inputs++;
}

static void run(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) die(path);
    if (!S_ISDIR(st.st_mode)) {
        run_file(path, (size_t)st.st_size);
        return;
    }
    struct dirent **entry;
    const int n = scandir(path, &entry, NULL, alphasort);
    if (n < 0) die(path);
    for (int i = 0; i < n; i++) {
        if (entry[i]->d_name[0] != '.') {
            char *inner = NULL;
            if (asprintf(&inner, "%s/%s", path, entry[i]->d_name) < 0) die(path);
            run(inner);
            free(inner);
        }
        free(entry[i]);
    }
    free(entry);
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/');
    name = name ? name + 1 : argv[0];
    for (int i = 1; i < argc; i++) run(argv[i]);
    printf("fuzz_%s: %lu inputs replayed\n", name, inputs);
    return 0;
}
