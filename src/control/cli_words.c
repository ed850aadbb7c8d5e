// What the list of commands is good for besides running them: completion for shells, and the manual.
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/cli.h"
#include "control/config.h"

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))

// --- Pieces.

static int first_word(const char *name)
{
    return (int)strcspn(name, " ");
}

static const char *second_word(const char *name)
{
    const char *space = strchr(name, ' ');
    return space ? space + 1 : "";
}

// Whether no command before i begins with the same word.
static bool is_first(uint32_t i)
{
    const char *name = cli_command_at(i)->name;
    const int n = first_word(name);
    for (uint32_t k = 0; k < i; k++)
        if (first_word(cli_command_at(k)->name) == n &&
            strncmp(cli_command_at(k)->name, name, (size_t)n) == 0)
            return false;
    return true;
}

static void first_words(FILE *out)
{
    for (uint32_t i = 0; cli_command_at(i); i++) {
        const char *name = cli_command_at(i)->name;
        if (is_first(i)) fprintf(out, "%s%.*s", i ? " " : "", first_word(name), name);
    }
}

static void second_words(FILE *out, const char *name)
{
    const size_t n = (size_t)first_word(name);
    bool first = true;
    for (uint32_t i = 0; cli_command_at(i); i++) {
        const char *other = cli_command_at(i)->name;
        if (strncmp(other, name, n) != 0 || other[n] != ' ') continue;
        fprintf(out, "%s%s", first ? "" : " ", other + n + 1);
        first = false;
    }
}

static void options(FILE *out, const struct cli_command *c)
{
    for (uint32_t i = 0; i < c->option_count; i++) fprintf(out, "%s ", c->options[i].name);
    for (uint32_t i = 0; i < cli_common_option_count; i++)
        fprintf(out, "%s%s", i ? " " : "", cli_common_options[i].name);
}

// "true|false|none" as words; false: the value is free.
static bool choices(const struct cli_option *o, char *out, size_t cap)
{
    if (!o->value || !strchr(o->value, '|') || o->value[0] < 'a') return false;
    (void)snprintf(out, cap, "%s", o->value);
    for (char *p = out; *p; p++)
        if (*p == '|') *p = ' ';
    return true;
}

static bool is_file(const struct cli_option *o)
{
    return o->value && strcmp(o->value, "FILE") == 0;
}

// --- bash and zsh: the words that may follow, by what stands before.

static void cases(FILE *out, const char *indent)
{
    for (uint32_t i = 0; cli_command_at(i); i++) {
        const struct cli_command *c = cli_command_at(i);
        const bool two = *second_word(c->name) != 0;
        fprintf(out, "%s'%s%s) words='", indent, c->name, two ? "'" : " '*");
        options(out, c);
        fprintf(out, "' ;;\n");
    }
}

static void groups(FILE *out, const char *indent)
{
    for (uint32_t i = 0; cli_command_at(i); i++) {
        const char *name = cli_command_at(i)->name;
        if (!is_first(i) || !*second_word(name)) continue;
        fprintf(out, "%s%.*s) words='", indent, first_word(name), name);
        second_words(out, name);
        fprintf(out, "' ;;\n");
    }
}

// The values of options that have a list of them; each option once.
static void values_of(FILE *out, const struct cli_option *o, char *seen, size_t cap)
{
    char words[64], mark[48];
    (void)snprintf(mark, sizeof mark, "%s)", o->name);
    if (strstr(seen, mark) || !choices(o, words, sizeof words)) return;
    (void)snprintf(seen + strlen(seen), cap - strlen(seen), "%s", mark);
    fprintf(out, "    %s) words='%s' ;;\n", o->name, words);
}

static void values(FILE *out)
{
    char seen[1024] = "";
    for (uint32_t i = 0; i < cli_common_option_count; i++)
        values_of(out, &cli_common_options[i], seen, sizeof seen);
    for (uint32_t i = 0; cli_command_at(i); i++)
        for (uint32_t k = 0; k < cli_command_at(i)->option_count; k++)
            values_of(out, &cli_command_at(i)->options[k], seen, sizeof seen);
}

static void shell_body(FILE *out)
{
    fputs("    case $prev in\n", out);
    values(out);
    fputs("    --config|--file|--ca-file) words= ;;\n    *)\n        case $at in\n        1) words='", out);
    first_words(out);
    fputs("' ;;\n        *)\n            case \"$one $two\" in\n", out);
    cases(out, "            ");
    fputs("            esac\n            if [ \"$at\" = 2 ]; then\n                case $one in\n", out);
    groups(out, "                ");
    fputs("                esac\n            fi ;;\n        esac ;;\n    esac\n", out);
}

static void bash(FILE *out)
{
    fputs("# bash completion for ringway: source it, or save it as "
          "/etc/bash_completion.d/ringway\n_ringway() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at=$COMP_CWORD words=\n"
          "    local one=${COMP_WORDS[1]} two=${COMP_WORDS[2]}\n",
          out);
    shell_body(out);
    fputs("    COMPREPLY=()\n    while IFS= read -r w; do COMPREPLY+=(\"$w\"); done < <(compgen -W "
          "\"$words\" -- \"$cur\")\n"
          "    if [ ${#COMPREPLY[@]} = 0 ]; then while IFS= read -r w; do COMPREPLY+=(\"$w\"); done "
          "< <(compgen -f -- \"$cur\"); fi\n}\ncomplete -o filenames -F _ringway ringway\n",
          out);
}

static void zsh(FILE *out)
{
    fputs("#compdef ringway\n# zsh completion for ringway: save it as _ringway in a folder of "
          "$fpath\n_ringway() {\n"
          "    local words_before=(\"${words[@]}\") at=$((CURRENT - 1))\n"
          "    local prev=$words_before[CURRENT-1] one=$words_before[2] two=$words_before[3]\n    local "
          "words=\n",
          out);
    shell_body(out);
    fputs(
        "    if [ -n \"$words\" ]; then compadd -- ${=words}; fi\n    _files\n}\ncompdef _ringway ringway\n",
        out);
}

// --- fish.

static void fish_condition(FILE *out, const char *name)
{
    fprintf(out, "complete -c ringway -n '__fish_seen_subcommand_from %.*s", first_word(name), name);
    if (*second_word(name)) fprintf(out, "; and __fish_seen_subcommand_from %s", second_word(name));
    fputs("'", out);
}

static void quoted(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++) fprintf(out, *text == '\'' || *text == '\\' ? "\\%c" : "%c", *text);
    fputc('\'', out);
}

static void fish_option(FILE *out, const struct cli_command *c, const struct cli_option *o)
{
    char words[64];
    if (c) fish_condition(out, c->name);
    else fputs("complete -c ringway", out);
    fprintf(out, " -l %s", o->name + 2);
    if (is_file(o)) fputs(" -r -F", out);
    else if (choices(o, words, sizeof words)) fprintf(out, " -x -a '%s'", words);
    else if (o->kind != CLI_FLAG) fputs(" -x", out);
    fputs(" -d ", out);
    quoted(out, o->help);
    fputc('\n', out);
}

static void fish(FILE *out)
{
    fputs("# fish completion for ringway: save it as ~/.config/fish/completions/ringway.fish\n", out);
    for (uint32_t i = 0; i < cli_common_option_count; i++) fish_option(out, NULL, &cli_common_options[i]);
    for (uint32_t i = 0; cli_command_at(i); i++) {
        const struct cli_command *c = cli_command_at(i);
        const bool two = *second_word(c->name) != 0;
        if (is_first(i)) {
            fprintf(out, "complete -c ringway -f -n __fish_use_subcommand -a %.*s -d ", first_word(c->name),
                    c->name);
            quoted(out, two ? "a group of commands" : c->summary);
            fputc('\n', out);
        }
        if (two) {
            fprintf(out,
                    "complete -c ringway -f -n '__fish_seen_subcommand_from %.*s; and not "
                    "__fish_seen_subcommand_from ",
                    first_word(c->name), c->name);
            second_words(out, c->name);
            fprintf(out, "' -a %s -d ", second_word(c->name));
            quoted(out, c->summary);
            fputc('\n', out);
        }
        for (uint32_t k = 0; k < c->option_count; k++) fish_option(out, c, &c->options[k]);
    }
}

static int completion(const struct cli *c)
{
    static const struct {
        const char *name;
        void (*write)(FILE *out);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    for (uint32_t i = 0; i < COUNT(shells); i++) {
        if (strcmp(c->argument[0], shells[i].name) != 0) continue;
        shells[i].write(stdout);
        return 0;
    }
    fprintf(stderr, "ringway: there is completion for bash, zsh and fish, not for %s\n", c->argument[0]);
    return 2;
}

// --- The manual, as roff.

static void roff(FILE *out, const char *text)
{
    bool begin = true;
    for (; *text; text++) {
        if (begin && (*text == '.' || *text == '\'')) fputs("\\&", out);
        begin = *text == '\n';
        if (*text == '\\') fputs("\\e", out);
        else if (*text == '-') fputs("\\-", out);
        else fputc(*text, out);
    }
}

static void roff_options(FILE *out, const struct cli_option *all, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        fputs(".TP\n\\fB", out);
        roff(out, all[i].name);
        fputs("\\fR", out);
        if (all[i].value) fputs(" \\fI", out), roff(out, all[i].value), fputs("\\fR", out);
        fputc('\n', out);
        roff(out, all[i].help);
        fputc('\n', out);
    }
}

static void roff_command(FILE *out, const struct cli_command *c)
{
    fputs(".SS \"ringway ", out);
    roff(out, c->name);
    if (*c->arguments) fputc(' ', out), roff(out, c->arguments);
    fputs("\"\n", out);
    roff(out, c->summary);
    fputs(".\n", out);
    roff_options(out, c->options, c->option_count);
    if (!c->more) return;
    fputs(".PP\n.nf\n", out);
    roff(out, c->more);
    fputs(".fi\n", out);
}

static void manual_of_commands(FILE *out)
{
    fputs(".TH RINGWAY 1 \"\" \"Ringway " RW_VERSION "\" \"Ringway\"\n.SH NAME\nringway \\- an LLM gateway\n"
          ".SH SYNOPSIS\n.B ringway\n.I COMMAND\n[\\fIARGUMENT\\fR]... [\\fIOPTION\\fR]...\n.SH DESCRIPTION\n"
          "The gateway, and what administrates it: commands reach the server that runs with the same "
          "configuration "
          "over its socket, or open its store themselves when none runs.\n.SH OPTIONS OF EVERY COMMAND\n",
          out);
    roff_options(out, cli_common_options, cli_common_option_count);
    fputs(".SH COMMANDS\n", out);
    for (uint32_t i = 0; cli_command_at(i); i++) roff_command(out, cli_command_at(i));
    fputs(
        ".SH EXIT STATUS\n.TP\n.B 0\ndone\n.TP\n.B 1\nfailed\n.TP\n.B 2\nwrong use, or a bad configuration\n"
        ".SH FILES\n.TP\n.I /etc/ringway/ringway.yaml\nthe configuration; see\n.BR ringway.yaml (5)\n"
        ".SH SEE ALSO\n.BR ringway.yaml (5)\n",
        out);
}

static void manual_of_configuration(FILE *out)
{
    fputs(".TH RINGWAY.YAML 5 \"\" \"Ringway " RW_VERSION
          "\" \"Ringway\"\n.SH NAME\nringway.yaml \\- configuration of "
          "the LLM gateway\n.SH DESCRIPTION\nEvery key, with its type, its default and its meaning.\n.nf\n",
          out);
    char *text = NULL;
    size_t n = 0;
    FILE *all = open_memstream(&text, &n);
    MUST(all);
    config_write_reference(all);
    fclose(all);
    roff(out, text);
    free(text);
    fputs(".fi\n.SH SEE ALSO\n.BR ringway (1)\n", out);
}

static int manual(const struct cli *c)
{
    const char *page = c->argument_count ? c->argument[0] : "ringway.1";
    if (strcmp(page, "ringway.1") == 0) manual_of_commands(stdout);
    else if (strcmp(page, "ringway.yaml.5") == 0) manual_of_configuration(stdout);
    else {
        fprintf(stderr, "ringway: there are the pages ringway.1 and ringway.yaml.5, not %s\n", page);
        return 2;
    }
    return 0;
}

const struct cli_command cli_words_commands[] = {
    {"completion", "bash|zsh|fish", "a script that completes commands and options in a shell",
     "Example: source <(ringway completion bash)\n"
     "         ringway completion fish > ~/.config/fish/completions/ringway.fish\n",
     NULL, 0, 1, 1, completion},
    {"man", "[ringway.1|ringway.yaml.5]", "a page of the manual, as man wants it",
     "Example: ringway man | man -l -\n", NULL, 0, 0, 1, manual},
};
const uint32_t cli_words_command_count = COUNT(cli_words_commands);
