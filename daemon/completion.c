/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * completion - the scripts.
 * Runs on: any thread.
 */
#include "completion.h"
#include "cmd.h"
#include <string.h>

/* `PROGRAM --help` has a line for each option, with = if it takes a value. */
#define OPTIONS_OF                                                                                 \
	"\"$@\" --help 2>/dev/null </dev/null | "                                                  \
	"sed -n 's/^  \\(--[a-z][a-z_-]*=\\).*/\\1/p; s/^  \\(--[a-z][a-z_-]*\\) .*/\\1/p; "       \
	"s/^  \\(--[a-z][a-z_-]*\\)$/\\1/p'\n"
#define CLUSTERS                                                                                   \
	"for f in " MHAD_SYSCONFDIR "/clusters.d/*.conf " MHAD_SYSCONFDIR "/clusters.d/*.cnf; do " \
	"[ -e \"$f\" ] && f=${f##*/} && echo \"${f%.*}\"; done\n"
#define SETTINGS "mhactl config explain 2>/dev/null | sed 's/ .*//'\n"

static const char bash_head[] = "# bash completion of mhactl, mhad, mha-node and MHA's names.  "
                                "Made by: mhactl completion bash\n"
                                "_mhactl_options() { " OPTIONS_OF "}\n"
                                "_mhactl_clusters() { local f; " CLUSTERS "}\n"
                                "_mhactl_settings() { " SETTINGS "}\n"
                                "_mhactl_verbs() {\n"
                                "\tcat <<'END'\n";

static const char bash_tail[] =
        "END\n"
        "}\n"
        "_mhactl() {\n"
        "\tlocal cur=$2 list word verb kind typed='' found='' n=$((COMP_CWORD - 1)) i IFS=$'\\n'\n"
        "\tlocal -a line\n"
        "\tCOMPREPLY=()\n"
        "\t# --conf=FILE comes as three words.\n"
        "\t[[ $cur == = ]] && cur='' && n=$((n - 1))\n"
        "\tif [[ ${COMP_WORDS[COMP_CWORD]} == = || ${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then\n"
        "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
        "\t\treturn\n"
        "\tfi\n"
        "\tif [[ ${COMP_WORDS[0]##*/} != mhactl ]]; then\n"
        "\t\tline=(\"${COMP_WORDS[0]}\")\n"
        "\t\tif [[ ${line[0]##*/} == mha-node && $n -ge 1 ]]; then line+=(\"${COMP_WORDS[1]}\"); "
        "fi\n"
        "\t\tif [[ ${line[0]##*/} == mha-node && $n -eq 0 ]]; then\n"
        "\t\t\tmapfile -t COMPREPLY < <(compgen -W \"$(mha-node help | sed -n 's/^  \\([a-z-]*\\)  "
        ".*/\\1/p')\" -- \"$cur\")\n"
        "\t\telse\n"
        "\t\t\tmapfile -t COMPREPLY < <(compgen -W \"$(_mhactl_options \"${line[@]}\")\" -- "
        "\"$cur\")\n"
        "\t\tfi\n"
        "\telse\n"
        "\t\tfor ((i = 1; i <= n; i++)); do\n"
        "\t\t\t[[ ${COMP_WORDS[i]} == -* ]] || typed+=\"${COMP_WORDS[i]} \"\n"
        "\t\tdone\n"
        "\t\twhile IFS='|' read -r verb kind; do\n"
        "\t\t\tif [[ \"$typed\" == \"$verb \"* ]]; then\n"
        "\t\t\t\tfound=$verb\n"
        "\t\t\t\tbreak\n"
        "\t\t\telif [[ \"$verb\" == \"$typed\"* ]]; then\n"
        "\t\t\t\tword=${verb#\"$typed\"}\n"
        "\t\t\t\tCOMPREPLY+=(\"${word%% *}\")\n"
        "\t\t\tfi\n"
        "\t\tdone < <(_mhactl_verbs)\n"
        "\t\tif [[ -n $found ]]; then\n"
        "\t\t\tIFS=' '\n"
        "\t\t\tif [[ $cur == -* ]]; then read -ra line <<<\"$found\"; list=$(_mhactl_options "
        "mhactl \"${line[@]}\")\n"
        "\t\t\telif [[ $kind == cluster ]]; then list=$(_mhactl_clusters)\n"
        "\t\t\telif [[ $kind == setting ]]; then list=$(_mhactl_settings)\n"
        "\t\t\telse list=''; fi\n"
        "\t\t\tIFS=$'\\n'\n"
        "\t\t\tmapfile -t COMPREPLY < <(compgen -W \"$list\" -- \"$cur\")\n"
        "\t\telse\n"
        "\t\t\tmapfile -t COMPREPLY < <(compgen -W \"${COMPREPLY[*]}\" -- \"$cur\" | sort -u)\n"
        "\t\tfi\n"
        "\tfi\n"
        "\t[[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null\n"
        "}\n"
        "complete -F _mhactl -o default mhactl mhad mha-node";

static const char zsh_head[] = "#compdef mhactl mhad mha-node";

static const char zsh_functions[] =
        "\n# Made by: mhactl completion zsh\n"
        "_mhactl_options() { " OPTIONS_OF "}\n"
        "_mhactl_clusters() { local f; setopt local_options null_glob; " CLUSTERS "}\n"
        "_mhactl_settings() { " SETTINGS "}\n"
        "_mhactl_add_options() {\n"
        "\tlocal -a all=(${(f)\"$(_mhactl_options \"$@\")\"})\n"
        "\tcompadd -S '' -- ${(M)all:#*=}\n"
        "\tcompadd -- ${all:#*=}\n"
        "}\n"
        "_mhactl() {\n"
        "\tlocal -A verbs kinds\n"
        "\tlocal -a typed next\n"
        "\tlocal v found='' said\n";

static const char zsh_tail[] =
        "\tif [[ $words[CURRENT] == --*=* ]]; then\n"
        "\t\tcompset -P '--*='\n"
        "\t\t_files\n"
        "\t\treturn\n"
        "\tfi\n"
        "\tif [[ ${words[1]:t} == mha-node ]]; then\n"
        "\t\tif ((CURRENT == 2)); then\n"
        "\t\t\tcompadd -- ${(f)\"$(mha-node help | sed -n 's/^  \\([a-z-]*\\)  .*/\\1/p')\"}\n"
        "\t\telse\n"
        "\t\t\t_mhactl_add_options $words[1] $words[2]\n"
        "\t\tfi\n"
        "\t\treturn\n"
        "\telif [[ ${words[1]:t} != mhactl ]]; then\n"
        "\t\t_mhactl_add_options $words[1]\n"
        "\t\treturn\n"
        "\tfi\n"
        "\ttyped=(${words[2,CURRENT-1]:#-*})\n"
        "\tsaid=\"${(j: :)typed} \"\n"
        "\t[[ $said == ' ' ]] && said=''\n"
        "\tfor v in ${(ko)verbs}; do\n"
        "\t\tif [[ $said == \"$v \"* ]]; then\n"
        "\t\t\tfound=$v\n"
        "\t\telif [[ $v == \"$said\"* ]]; then\n"
        "\t\t\tnext+=(\"${${v#$said}%% *}:${verbs[$v]}\")\n"
        "\t\tfi\n"
        "\tdone\n"
        "\tif [[ -z $found ]]; then\n"
        "\t\t_describe command next\n"
        "\telif [[ $words[CURRENT] == -* ]]; then\n"
        "\t\t_mhactl_add_options mhactl ${=found}\n"
        "\telif [[ $kinds[$found] == cluster ]]; then\n"
        "\t\tcompadd -- ${(f)\"$(_mhactl_clusters)\"}\n"
        "\telif [[ $kinds[$found] == setting ]]; then\n"
        "\t\tcompadd -- ${(f)\"$(_mhactl_settings)\"}\n"
        "\tfi\n"
        "}\n"
        "_mhactl \"$@\"\n";

/* What its words are, beside options. */
static const char *kind_of(const struct cmd_verb *v)
{
	return strstr(v->args, "CLUSTER") ? "cluster" : strstr(v->args, "SETTING") ? "setting" : "";
}

static void add_names(struct str *out, const struct cmd_verb *verbs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (verbs[i].mha)
			str_addf(out, " %s", verbs[i].name);
	str_addc(out, '\n');
}

static void add_bash(struct str *out, const struct cmd_verb *verbs, size_t n)
{
	str_add(out, bash_head);
	for (size_t i = 0; i < n; i++)
		if (!verbs[i].mha)
			str_addf(out, "%s|%s\n", verbs[i].name, kind_of(&verbs[i]));
	str_add(out, bash_tail);
	add_names(out, verbs, n);
}

/* In single quotes. */
static void add_quoted(struct str *out, const char *text)
{
	str_addc(out, '\'');
	for (; *text; text++) {
		if (*text == '\'')
			str_add(out, "'\\''");
		else
			str_addc(out, *text);
	}
	str_addc(out, '\'');
}

static void add_zsh(struct str *out, const struct cmd_verb *verbs, size_t n)
{
	str_add(out, zsh_head);
	add_names(out, verbs, n);
	str_add(out, zsh_functions);
	for (size_t i = 0; i < n; i++) {
		if (verbs[i].mha)
			continue;
		str_add(out, "\tverbs+=(");
		add_quoted(out, verbs[i].name);
		str_addc(out, ' ');
		add_quoted(out, verbs[i].summary);
		str_add(out, ") kinds+=(");
		add_quoted(out, verbs[i].name);
		str_addf(out, " '%s')\n", kind_of(&verbs[i]));
	}
	str_add(out, zsh_tail);
}

bool completion_script(
        const char *shell, const struct cmd_verb *verbs, size_t n, struct str *out, struct err *e)
{
	if (str_is(shell, "bash"))
		add_bash(out, verbs, n);
	else if (str_is(shell, "zsh"))
		add_zsh(out, verbs, n);
	else
		return err_set(e, ERR_CONFIG, 0, "there is no completion for \"%s\"", shell) ||
		       err_hint(e, "bash or zsh");
	return true;
}
