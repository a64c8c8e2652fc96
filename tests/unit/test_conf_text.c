/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_text: what is printed about settings.  The samples in etc/ are compared with what the
 * program prints; MHAD_UPDATE=1 writes them anew.
 */
#include "test_conf.h"
#include "conf_internal.h"

static const struct {
	const char *path;
	enum conf_format format;
	bool global;
} samples[] = {
	{ "etc/mhad.conf", CONF_NATIVE, true },
	{ "etc/cluster.conf", CONF_NATIVE, false },
	{ "etc/masterha_default.cnf", CONF_MHA, true },
	{ "etc/app1.cnf", CONF_MHA, false },
};

static void must_load(const char *name, const char *text)
{
	write_text(name, text);
	if (!load(name)) {
		print_report();
		fail_msg("%s does not load:\n%s", name, text);
	}
}

static void the_table_is_whole(void **state)
{
	enum conf_key k;

	(void)state;
#define COUNT(...) +1
	assert_int_equal(0 CONF_SETTINGS_MHA(COUNT), 42);
	assert_int_equal(0 CONF_SETTINGS(COUNT), CONF_KEY_COUNT);
	for (int i = 0; i < CONF_KEY_COUNT; i++) {
		const char *help = conf_key_help((enum conf_key)i);

		assert_true(conf_key_find(conf_key_name((enum conf_key)i), &k));
		assert_int_equal(k, i);
		assert_true(str_ends(help, ".") || str_ends(help, ")"));
	}
	assert_false(conf_key_find("Hostname", &k));
	assert_true(conf_key_is_secret(CONF_password) && conf_key_is_secret(CONF_repl_password));
	assert_false(conf_key_is_secret(CONF_password_file));
}

static void the_nearest_name(void **state)
{
	(void)state;
	assert_string_equal(conf_key_nearest("pasword"), "password");
	assert_string_equal(conf_key_nearest("prot"), "port");
	assert_string_equal(conf_key_nearest("master_ip_failover"), "master_ip_failover_script");
	assert_string_equal(conf_key_nearest("PORT"), "port");
	assert_null(conf_key_nearest("something_else_entirely"));
	assert_null(conf_key_nearest("x"));
}

static void explanations(void **state)
{
	AUTO(free) char *tls = conf_explain(CONF_tls);
	AUTO(free) char *interval = conf_explain(CONF_ping_interval);
	AUTO(free) char *host = conf_explain(CONF_hostname);
	AUTO(free) char *user = conf_explain(CONF_ssh_user);

	(void)state;
	assert_non_null(
	        strstr(tls, "allowed   off, preferred, required, verify-ca, verify-identity\n"));
	assert_non_null(strstr(tls, "default   preferred; in MHA's format off\n"));
	assert_non_null(strstr(interval, "allowed   100ms to 24h\n"));
	assert_non_null(strstr(interval, "default   3s\n"));
	assert_non_null(strstr(interval, "set in    defaults and blocks of servers\n"));
	assert_non_null(strstr(host, "default   must be set\n"));
	assert_non_null(strstr(host, "set in    blocks of servers\n"));
	assert_non_null(strstr(user, "default   user that runs the program\n"));
}

static void the_manual_has_every_setting_once(void **state)
{
	AUTO(free) char *manual = conf_manual();

	(void)state;
	for (int k = 0; k < CONF_KEY_COUNT; k++) {
		AUTO(free) char *item = xasprintf(".It Cm %s\n", conf_key_name((enum conf_key)k));
		const char *found = strstr(manual, item);

		assert_non_null(found);
		assert_null(strstr(found + 1, item));
	}
	assert_int_equal(strncmp(manual, ".Bl ", 4), 0);
	assert_true(str_ends(manual, "\n.El\n"));
	assert_null(strstr(manual, "\n\n"));
	assert_non_null(strstr(manual, "\nDefault: preferred; in MHA's format off.\n"));
	for (const char *p = manual; *p; p += strcspn(p, "\n") + 1)
		assert_true(strcspn(p, "\n") <= 80);
}

/* The sample with the mark taken off its settings: all defaults spelled out. */
static char *uncommented(const char *text)
{
	struct str out = STR_INIT;

	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\n") + 1, indent = strspn(p, "\t");

		if (p[indent] == '#' && p[indent + 1] != ' ' && n > indent + 1)
			str_addn(&out, p + indent + 1, n - indent - 1);
		else
			str_addn(&out, p, n);
		p += n;
	}
	return str_take(&out);
}

static void samples_load(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		AUTO(free) char *text = conf_sample(samples[i].format, samples[i].global);
		AUTO(free) char *spelled = uncommented(text);
		bool native = samples[i].format == CONF_NATIVE;
		const char *name = native ? "shop.conf" : "app1.cnf";

		assert_string_not_equal(text, spelled);
		if (samples[i].global) {
			write_text("global.cnf", spelled);
			must_load(name, native ? "servers = ( { hostname = \"db1\"; } );"
			                       : "[server1]\nhostname=db1\n");
		} else {
			unlink(global_file);
			must_load(name, text);
			assert_int_equal(c->n_servers, 2);
			assert_true(c->servers[1]->candidate_master);
			must_load(name, spelled);
			assert_int_equal(c->n_binlogs, 1);
		}
	}
}

static void samples_have_every_setting(void **state)
{
	AUTO(free) char *native = conf_sample(CONF_NATIVE, false);
	AUTO(free) char *mha = conf_sample(CONF_MHA, false);
	AUTO(free) char *global = conf_sample(CONF_NATIVE, true);

	(void)state;
	for (int k = 0; k < CONF_KEY_COUNT; k++) {
		bool for_all = conf_row((enum conf_key)k)->reach == CONF_REACH_GLOBAL;
		AUTO(free) char *a = xasprintf("\n\t#%s = ", conf_key_name((enum conf_key)k));
		AUTO(free) char *b = xasprintf("\n#%s=", conf_key_name((enum conf_key)k));

		if (k == CONF_hostname)
			continue;
		assert_int_equal(strstr(native, a) == NULL, for_all);
		assert_int_equal(strstr(mha, b) == NULL, for_all);
		if (for_all)
			assert_non_null(strstr(global, a));
	}
}

static void the_samples_in_etc_are_ours(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		AUTO(free) char *want = conf_sample(samples[i].format, samples[i].global);
		AUTO(free) char *have = xzalloc(strlen(want) + 2);
		AUTO_FD int fd = open(samples[i].path,
		        getenv("MHAD_UPDATE") ? O_RDWR | O_CREAT | O_TRUNC : O_RDONLY, 0644);

		if (getenv("MHAD_UPDATE"))
			assert_int_equal(write(fd, want, strlen(want)), strlen(want));
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_true(read(fd, have, strlen(want) + 1) >= 0);
		if (!str_is(have, want))
			fail_msg("%s is out of date: run this test from the top folder with "
			         "MHAD_UPDATE=1",
			        samples[i].path);
	}
}

static void values_as_text(void **state)
{
	(void)state;
	must_load("app1.cnf",
	        "[server1]\nhostname=db1\npassword=x\nping_interval=1500ms\ncandidate_master=1\n");
	assert_string_equal(value("server1", CONF_password), "***");
	assert_string_equal(value("server1", CONF_repl_password), "");
	assert_string_equal(value("server1", CONF_ping_interval), "1500ms");
	assert_string_equal(value("server1", CONF_hook_timeout), "1m");
	assert_string_equal(value("server1", CONF_candidate_master), "1");
	assert_string_equal(value("server1", CONF_no_master), "0");
	assert_string_equal(value("server1", CONF_port), "3306");
	assert_string_equal(value("server1", CONF_report_script), "");
}

static void must_be_same(const struct conf_server *a, const struct conf_server *b, const char *mha,
        const char *native)
{
	assert_string_equal(a->id, b->id);
	for (int i = 0; i < CONF_KEY_COUNT; i++) {
		enum conf_key k = (enum conf_key)i;
		AUTO(free) char *x = conf_value_text(a, k);
		AUTO(free) char *y = conf_value_text(b, k);

		if (!str_is(x, y))
			fail_msg("%s of %s: \"%s\" became \"%s\" between\n%s\nand\n%s",
			        conf_key_name(k), a->id, x, y, mha, native);
	}
	assert_true(str_is(a->password, b->password));
	assert_true(str_is(a->repl_password, b->repl_password));
}

/* An app file (and the global file, if there is one) says the same as its native form without a
 * global file. */
static void round_trip(const char *mha)
{
	struct conf *before;
	AUTO(free) char *native = NULL;

	must_load("app1.cnf", mha);
	before = TAKE(c);
	native = conf_to_native(before);
	unlink(global_file);
	must_load("app1.conf", native);
	assert_int_equal(c->n_servers, before->n_servers);
	assert_int_equal(c->n_binlogs, before->n_binlogs);
	for (size_t i = 0; i < c->n_servers; i++)
		must_be_same(before->servers[i], c->servers[i], mha, native);
	for (size_t i = 0; i < c->n_binlogs; i++)
		must_be_same(before->binlogs[i], c->binlogs[i], mha, native);
	must_be_same(before->defaults, c->defaults, mha, native);
	conf_free(before);
}

#define ONE "[server1]\nhostname=db1\n"

static void awkward_files_become_native(void **state)
{
	static const char *const files[] = {
		ONE,
		"[server default]\nuser=a\"b\\c=d;e\npassword=\\\\\"'=;#x\n" ONE
		"[server2]\nhostname=db2\nuser=\n",
		"[server default]\nuser=\xc3\xa4\xe2\x82\xac\xff\xfe\nreport_script=/a 'b' \"c\" "
		"\\n $x `y` ; z\n" ONE,
		"[server "
		"default]\nshutdown_script=/s\npassword=p\nssh_user=u\nremote_workdir=/r\n" ONE
		"shutdown_script=\npassword=\nssh_user=\nremote_workdir=\n",
		"[server10]\nhostname=a\n[server9]\nhostname=b\n[binlog2]\nhostname=x\nport=1\n["
		"binlog1]\nhostname=y\n",
		"[server default]\ntls=preferred\nssh_host_keys=strict\nssh_known_hosts=/k\n" ONE
		"tls=off\nssh_host_keys=accept-new\n",
		"[server "
		"default]\nlog_level=crit\nping_type=insert\nping_interval=1500ms\ncheck_repl_"
		"delay=\n" ONE "check_repl_delay=no\nlatest_priority=0\n",
		ONE "ip=10.0.0.1\nssh_host=other\nssh_ip=10.0.0.2\nnode_label=a\tb\x01\x7f\n",
		"[server default]\nuser='\"a\"'\n" ONE
		"user='\"a\"'\n[server2]\nhostname=b\nuser=\"\"\n",
		ONE "user=\\x41\\\\\n[server_ \"x\" ]\nhostname=b\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		round_trip(files[i]);
}

static void secrets_stay_where_they_are(void **state)
{
	AUTO(free) char *mha = NULL;
	AUTO(free) char *native = NULL;

	(void)state;
	write_text("secret", "from-file\n");
	mha = xasprintf(
	        "[server default]\npassword_file=%s\nrepl_password=clear\n" ONE
	        "repl_password_file=%s\n"
	        "[server2]\nhostname=b\npassword=from-file\n[server3]\nhostname=c\npassword=\n",
	        path_of("secret"), path_of("secret"));
	round_trip(mha);
	must_load("app1.cnf", mha);
	native = conf_to_native(c);
	assert_non_null(strstr(native, "\tpassword_file = \""));
	assert_non_null(strstr(native, "\trepl_password = \"clear\";"));
	assert_non_null(strstr(native, "\t\tpassword = \"from-file\";"));
	assert_null(strstr(native, "repl_password = \"from-file\""));
	free(TAKE(native));
	must_load("app1.cnf", "[server default]\ninit_conf_load_script=echo user=scripted\n" ONE);
	native = conf_to_native(c);
	assert_null(strstr(native, "user = \"scripted\""));
	round_trip("[server default]\ninit_conf_load_script=echo user=scripted; echo "
	           "password=ab\n" ONE);
	assert_string_equal(c->servers[0]->password, "ab");
}

static uint64_t random_state;

static size_t below(size_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(random_state >> 33) % n;
}

/* One of "off, preferred, required\n..."; valid until the next call. */
static const char *random_word(const char *list)
{
	static char line[128];
	char *words[8], *rest = line;
	size_t n = 0;

	snprintf(line, sizeof(line), "%.*s", (int)strcspn(list, "\n"), list);
	for (char *w = strsep(&rest, ","); w; w = strsep(&rest, ","))
		words[n++] = str_trim(w);
	return words[below(n)];
}

static const char *random_value(enum conf_key k, bool in_defaults)
{
	static const char *const texts[] = { "", "a", "\"quoted\"", "'\"twice\"'", "x'", "a=b;c",
		"\\", "\\\\n\\x41", "\xc3\xa9", "a \"b\" 'c", "0", "# x", "${y}", "a,b , c",
		"/x/y z" };
	static const char *const ports[] = { "1", "65535", "3306", "22", "\"80\"", "" };
	static const char *const durations[] = { "1", "3s", "1500ms", "1m" };
	static const char *const times[] = { "", "off", "00:00", "23:59", "'3:30'" };
	static const char *const flags[] = { "", "0", "1", "no", "'1'" };
	AUTO(free) char *help = conf_explain(k);
	const char *words = strstr(help, "allowed   ");

#define PICK(a) (a)[below(ARRAY_LEN(a))]
	if (strstr(help, "type      number"))
		return in_defaults && !below(4) ? "0" : PICK(ports);
	if (strstr(help, "type      duration"))
		return PICK(durations);
	if (strstr(help, "type      yes or no"))
		return k == CONF_candidate_master || k == CONF_no_master ? flags[below(3)]
		                                                         : PICK(flags);
	if (k == CONF_rehearse_at)
		return PICK(times);
	if (words)
		return random_word(words + strlen("allowed   "));
	return PICK(texts);
}

static void add_random_block(struct str *out, const char *name, bool in_defaults)
{
	bool from_file = below(2);

	str_addf(out, "[%s]\n", name);
	for (int i = 0; i < CONF_KEY_COUNT; i++) {
		enum conf_key k = (enum conf_key)i;
		const char *text = below(3) ? NULL : random_value(k, in_defaults);

		if (!text || k == CONF_hostname || k == CONF_init_conf_load_script)
			continue;
		if (k == CONF_password_file || k == CONF_repl_password_file)
			text = from_file ? path_of("secret") : "";
		else if (from_file && (k == CONF_password || k == CONF_repl_password))
			continue;
		str_addf(out, "%s=%s\n", conf_key_name(k), text);
	}
	if (!in_defaults)
		str_addf(out, "hostname=host-of-%s\nip=10.0.%d.%d\n", name, name[0],
		        name[strlen(name) - 1]);
}

static void random_files_become_native(void **state)
{
	(void)state;
	write_text("secret", "from-file\n");
	for (uint64_t seed = 1; seed <= 300; seed++) {
		AUTO_STR struct str global = STR_INIT;
		AUTO_STR struct str app = STR_INIT;

		random_state = seed;
		add_random_block(&global, "server default", true);
		add_random_block(&app, "server default", true);
		add_random_block(&app, "server1", false);
		add_random_block(&app, "server2", false);
		add_random_block(&app, "binlog1", false);
		if (seed % 3)
			write_text("global.cnf", global.p);
		round_trip(app.p);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		T(the_table_is_whole),
		T(the_nearest_name),
		T(explanations),
		T(the_manual_has_every_setting_once),
		T(samples_load),
		T(samples_have_every_setting),
		T(the_samples_in_etc_are_ours),
		T(values_as_text),
		T(awkward_files_become_native),
		T(secrets_stay_where_they_are),
		T(random_files_become_native),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
