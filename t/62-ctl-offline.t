#!/usr/bin/perl
# The admin command without a daemon: command line, check, explain, replay.
use strict;
use warnings;

use IO::Compress::Gzip qw(gzip $GzipError);
use JSON::PP ();
use MxwardenTest;
use POSIX qw(mktime strftime);
use Test::More;

my $mxwarden = program('mxwarden');
my $dir = tmp_dir();
my $conf = spew("$dir/mxwarden.conf", conf_text({
	log => [["$dir/mail.log", { rules => ['mail'] }],
	    ["$dir/other.log", { rules => ['other'] }]],
	allow => ['198.51.100.0/24'],
	rule => [
		['auth', { set => 'mail', program => ['smtpd'], weight => 3,
		    pattern => '^warning: {client}: SASL', evidence => 'auth',
		    counts => 'each' }],
		['lost', { set => 'mail', program => ['smtpd'], weight => 2,
		    pattern => '^lost connection after AUTH from {client}',
		    evidence => 'auth', counts => 'once' }],
		['any-lost', { set => 'mail', program => ['smtpd'], weight => 1,
		    pattern => '^lost connection after \w+ from {client}' }],
		['fault', { set => 'mail', program => ['smtpd'],
		    kind => 'fault',
		    pattern => '^warning: {client}: server' }],
		['login', { set => 'other', program => ['imap-login'],
		    weight => 20, pattern => '^Aborted: rip={addr}' }],
	],
}));

sub ctl { return run_cmd({ ref $_[0] ? %{+shift} : () }, $mxwarden, '-c',
    $conf, @_) }

sub
ctl_ok {
	my $opt = ref $_[0] ? shift : {};
	my ($status, $out, $err) = ctl($opt, @_);

	is($status, 0, "@_: exit status 0") or diag($err);
	is($err, '', "@_: nothing on stderr");
	return $out;
}

sub
fails {
	my ($re, @cmd) = @_;
	my ($status, $out, $err) = run_cmd(@cmd);

	is($status, 2, "@cmd[1 .. $#cmd]: exit status 2");
	is($out, '', 'nothing on stdout');
	like($err, $re, 'the reason on stderr');
	return;
}

sub json { return JSON::PP->new->decode($_[0]) }

# The command line.
my @verbs = qw(status list top show block unblock forgive allow watch reload
    ask check explain replay);
my ($status, $out, $err) = run_cmd($mxwarden, '--help');
is($status, 0, '--help');
like($out, qr/^  $_ +\S/m, "--help names $_") for @verbs;
for my $verb (@verbs) {
	($status, $out) = run_cmd($mxwarden, $verb, '--help');
	is($status, 0, "$verb --help");
	like($out, qr/\Ausage: mxwarden $verb\b/, 'its usage');
	# The path of the configuration is as long as it is.
	unlike($out =~ s/^  -c, .*$//mr, qr/.{81}/, '80 columns');
	fails(qr/unrecognized option/, $mxwarden, $verb, '--frobnicate');
}
for my $args (['--version'], ['-V'], ['list', '-V'], ['list', '--version']) {
	($status, $out) = run_cmd($mxwarden, @$args);
	is($status, 0, "@$args");
	like($out, qr/\Amxwarden \d\S*\n\z/, 'the version');
}
($status, $out) = run_cmd($mxwarden);
is($status, 2, 'no verb: exit status 2');
like($out, qr/\Ausage/, 'and the usage');
fails(qr/'frob' is not a verb/, $mxwarden, 'frob');
fails(qr/too many arguments/, $mxwarden, 'status', 'x');
fails(qr/too few arguments/, $mxwarden, 'show');
fails(qr/option --level is not for status/, $mxwarden, 'status', '-l', 'x');
fails(qr/option --all belongs behind a verb/, $mxwarden, '--all', 'unblock');
fails(qr/requires an argument/, $mxwarden, 'top', '-n');
fails(qr/cannot reach mxwardend at \Q$dir\E\/x: No such file or directory: is it running\?/,
    $mxwarden, '-s', "$dir/x", 'list');
fails(qr/cannot reach mxwardend at \Q$dir\E\/x: /, $mxwarden, 'list', '-s',
    "$dir/x");
fails(qr/a socket has at most \d+ bytes/, $mxwarden, '-s', "$dir/" . 'x' x 200,
    'list');
fails(qr/cannot reach mxwardend at \S+\/mxwarden\/control\.sock: /, $mxwarden,
    'list') if !-e '/etc/mxwarden/mxwarden.conf';
fails(qr/mxwardend at \Q$conf\E: Connection refused/, $mxwarden, '-s', $conf,
    'list');
SKIP: {
	skip 'no /dev/full', 1 if !-c '/dev/full';
	is(run_status("$mxwarden --help > /dev/full"), 2,
	    'output that cannot be written is an error');
}

sub
run_status {
	my ($s) = run_cmd('/bin/sh', '-c', "$_[0] 2>/dev/null");

	return $s;
}

# check
like(ctl_ok('check'), qr/\A\Q$conf\E: ok \(5 rules in 2 sets, 3 levels, 2 logs, 1 listener\)\n\z/,
    'check');
is(json(ctl_ok('--json', 'check'))->{ok}, JSON::PP::true, 'check --json');
my $bad = spew("$dir/bad.conf", "listen = {\"inet:127.0.0.1:10040\"}\n" .
    "frobnicate = 3\n");
fails(qr/\Q$bad\E:2: /, $mxwarden, '-c', $bad, 'check');
fails(qr/\Q$bad\E:2: /, $mxwarden, 'check', '--config', $bad);
($status, $out) = run_cmd($mxwarden, '-c', $bad, 'check', '--json');
is($status, 2, 'check --json: exit status 2');
ok(!json($out)->{ok}, 'not ok');
like(json($out)->{error}, qr/:2: /, 'and why');
fails(qr/nosuch: No such file/, $mxwarden, '-c', "$dir/nosuch", 'check');
fails(qr/:2: .*with -s SOCKET/s, $mxwarden, '-c', $bad, 'list');

# explain
my $line = 'Dec 14 09:58:37 mx1 postfix/smtpd[4711]: ' .
    'warning: unknown[192.0.2.1]: SASL LOGIN authentication failed';
my $x = json(ctl_ok('--json', 'explain', $line));
is($x->{rule}, 'auth', 'explain: rule');
is($x->{address}, '192.0.2.1', 'address');
is($x->{verdict}, 'offence', 'verdict');
is($x->{weight}, 3, 'weight');
is($x->{evidence}, 'auth', 'evidence');
is($x->{attempts}, 1, 'attempts');
like($x->{time}, qr/\A\d{4}-12-14T09:58:37Z\z/, 'time');
is($x->{host}, 'mx1', 'host');
is($x->{tag}, 'postfix/smtpd', 'tag');
is($x->{program}, 'smtpd', 'program');
is($x->{pid}, 4711, 'pid');
like($x->{message}, qr/\Awarning: unknown\[192/, 'message');
is_deeply($x->{also}, [], 'no other rule');
my %why = map { $_->{rule} => $_->{why} } @{$x->{tried}};
is($why{auth}, 'match', 'tried: the rule that matches');
isnt($why{lost} // 'match', 'match', 'tried: one that does not');
ok(!exists $why{login}, 'rules of other programs are not tried');

$x = json(ctl_ok('--json', 'explain', 'Dec 14 09:58:37 mx1 ' .
    'postfix/smtpd[4711]: lost connection after AUTH from a[2001:db8::1]'));
is($x->{rule}, 'lost', 'the first rule decides');
is_deeply($x->{also}, ['any-lost'], 'others match as well');
$x = json(ctl_ok('--json', 'explain', 'Dec 14 09:58:37 mx1 ' .
    'postfix/smtpd[1]: warning: a[198.51.100.1]: SASL'));
is($x->{verdict}, 'allow list', 'a client of the allow list');

for my $case (
    ['Dec 14 09:58:37 mx1 postfix/smtpd[1]: connect from a[192.0.2.1]',
	'no match'],
    ['not a log line', 'no header'], ['', 'no header']) {
	($status, $out) = ctl('--json', 'explain', $case->[0]);
	is($status, 1, "explain '$case->[0]': exit status 1");
	is(json($out)->{verdict}, $case->[1], $case->[1]);
	is(json($out)->{rule}, undef, 'no rule');
	is(json($out)->{address}, undef, 'no address');
}
my $text = ctl_ok('explain', $line);
like($text, qr/^verdict +offence$/m, 'explain as text: verdict');
like($text, qr/^rule +auth \(offence\)$/m, 'rule');
like($text, qr/^tried .*\n +auth +matches$/m, 'tried');
($status, $out) = ctl('explain', "Dec 14 09:58:37 mx1 postfix/smtpd[1]: \e[31m");
unlike($out, qr/\e/, 'what a peer sends does not reach the terminal');
fails(qr/there is no rule set 'x'; there are: mail, other/, $mxwarden, '-c',
    $conf, 'explain', '--rules', 'x', $line);
is((ctl('explain', '--rules', 'other', $line))[0], 1, 'explain --rules');
$out = ctl_ok({ stdin => "$line\n\nx\n$line" }, '--json', 'explain', '-');
is(join(' ', map { json($_)->{verdict} } split /\n/, $out),
    'offence no header no header offence', 'explain -: one object per line');
$text = ctl_ok({ stdin => "$line\nx\n" }, 'explain', '-');
is(scalar(() = $text =~ /^verdict/mg), 2, 'explain - as text');
like($text, qr/^line +\Q$line\E$/m, 'with the line');

# replay
my $t = mktime(37, 58, 9, 14, 11, 125); # 2025-12-14 09:58:37 UTC

sub
stamp {
	return strftime('%b %e %H:%M:%S', gmtime $t + $_[0]);
}

sub
sasl {
	my ($at, $addr, $pid) = @_;

	return stamp($at) . " mx1 postfix/smtpd[$pid]: warning: " .
	    "unknown[$addr]: SASL LOGIN authentication failed\n";
}

my @log = (stamp(0) . " mx1 postfix/qmgr[1]: started\n");
push @log, sasl($_, '192.0.2.1', 100 + $_) for 1 .. 4;
push @log, stamp(5) . " mx1 postfix/smtpd[101]: lost connection after AUTH " .
    "from unknown[192.0.2.1]\n";
push @log, sasl(6, '198.51.100.7', 1);
push @log, sasl(7, '2001:db8::1', 300), "junk\n";
push @log, stamp(3600) . " mx1 postfix/smtpd[9]: connect from " .
    "unknown[192.0.2.1]\n";
spew("$dir/mail.log", @log);
utime $t + 4000, $t + 4000, "$dir/mail.log";

my $decisions = <<'END';
2025-12-14T09:58:39Z 192.0.2.1 defer score=6 rule=auth until=2025-12-14T10:08:39Z
2025-12-14T09:58:41Z 192.0.2.1 reject score=12 rule=auth until=2025-12-14T10:58:41Z
END
is(ctl_ok('replay', '--decisions', "$dir/mail.log"), $decisions,
    'replay --decisions: the year is that of the file');
my @objects = map { json($_) } split /\n/,
    ctl_ok('--json', 'replay', '--decisions', "$dir/mail.log");
is_deeply($objects[1], { time => '2025-12-14T09:58:41Z',
	address => '192.0.2.1', level => 'reject', score => 12, rule => 'auth',
	until => '2025-12-14T10:58:41Z' }, 'with --json');

my $r = json(ctl_ok('--json', 'replay', "$dir/mail.log"));
is($r->{lines}, 10, 'lines');
is($r->{parsed}, 9, 'parsed');
is($r->{unparsed}, 1, 'unparsed');
is($r->{matched}, 7, 'matched');
is($r->{scored}, 5, 'scored: the lost connection is the same attempt');
is($r->{allowed}, 1, 'allowed');
is($r->{first}, '2025-12-14T09:58:37Z', 'first line');
is($r->{last}, '2025-12-14T10:58:37Z', 'last line');
ok($r->{elapsed} > 0 && $r->{lines_per_second} > 0, 'speed');
is_deeply($r->{rules}, [{ rule => 'auth', hits => 5 }], 'rules hit');
is_deeply($r->{blocks}, { defer => 1, reject => 1, firewall => 0 },
    'blocks per level');
is($r->{blocked}, 1, 'blocked');
is($r->{raised}, 1, 'raised');
is_deeply([map { [@$_{qw(address peak hits blocks level)}] }
    @{$r->{offenders}}], [['192.0.2.1', 12, 4, 1, 'reject'],
	['2001:db8::/64', 3, 1, 0, undef]], 'offenders');
is_deeply($r->{offenders}[0]{rules}, { auth => 4 }, 'and their rules');
is(scalar @{json(ctl_ok('--json', 'replay', '-n1', "$dir/mail.log"))
    ->{offenders}}, 1, 'replay -n');

$text = ctl_ok('replay', "$dir/mail.log");
like($text, qr/^lines +10, 1 of them without a known header$/m, 'as text');
like($text, qr/^span +2025-12-14T09:58:37Z to 2025-12-14T10:58:37Z$/m, 'span');
like($text, qr/^elapsed +\d+\.\d\d s, \d+ lines\/s$/m, 'speed');
like($text, qr/^auth +5$/m, 'rules');
like($text, qr/^reject +1$/m, 'levels');
like($text, qr/^192\.0\.2\.1 +12 +4 +1 +reject +auth$/m, 'offenders');
unlike($text, qr/\r|\e/, 'no bar without a terminal');

# Compressed, and from standard input.
my $plain = join '', @log;
gzip(\$plain, "$dir/mail.log.2.gz", Time => $t + 4000) or die $GzipError;
is(ctl_ok('replay', '--rules', 'mail', '--decisions', "$dir/mail.log.2.gz"),
    $decisions, 'a compressed log; the year is that of the gzip header');
gzip(\$plain, \my $first, Time => 0);
gzip(\"", \my $empty);
gzip(\$plain, \my $second, Time => 0);
spew("$dir/two.gz", $first . $empty . $second . "\0" x 100);
utime $t + 4000, $t + 4000, "$dir/two.gz";
$r = json(ctl_ok('--json', 'replay', "$dir/two.gz"));
is($r->{lines}, 20, 'several members, and padding');
is($r->{first}, '2025-12-14T09:58:37Z', 'the year of the file');
$r = json(ctl_ok({ stdin => $plain }, '--json', 'replay', '-'));
is($r->{lines}, 10, 'standard input');
is($r->{blocked}, 1, 'its blocks');
$r = json(ctl_ok({ stdin => $first }, '--json', 'replay', '-'));
is($r->{lines}, 10, 'compressed standard input');
$r = json(ctl_ok({ stdin => '' }, '--json', 'replay', '-'));
is($r->{lines}, 0, 'an empty one');
is($r->{first}, undef, 'no span');
spew("$dir/cut.gz", substr $first, 0, length($first) - 20);
fails(qr/cut\.gz: (?:ends in the middle|damaged)/, $mxwarden, '-c', $conf,
    'replay', '--decisions', '--rules', 'other', "$dir/cut.gz");
spew("$dir/bad.gz", substr($first, 0, -8) . "\1" x 8); # the checksum
fails(qr/bad\.gz: damaged/, $mxwarden, '-c', $conf, 'replay', '--decisions',
    '--rules', 'other', "$dir/bad.gz");
spew("$dir/mail.xz", "\xfd7zXZ\0junk");
fails(qr/xzcat \S+ \| mxwarden replay -/, $mxwarden, '-c', $conf, 'replay',
    "$dir/mail.xz");
fails(qr/nosuch\.log: No such file/, $mxwarden, '-c', $conf, 'replay',
    "$dir/nosuch.log");
fails(qr/Is a directory/, $mxwarden, '-c', $conf, 'replay', $dir);
($status, $out, $err) = ctl('--json', 'replay', "$dir/nosuch.log",
    "$dir/mail.log");
is($status, 2, 'one log is missing: exit status 2');
is(json($out)->{lines}, 10, 'the other one is read');

# Which rules: those of the log, of all logs, or those asked for.
spew("$dir/other.log", $plain, stamp(1) . " mx1 dovecot: imap-login[1]: " .
    "nothing\n", stamp(2) . " mx1 imap-login[1]: Aborted: rip=192.0.2.9\n");
sub
rules_hit {
	my $got = json(ctl_ok('--json', 'replay', @_));

	return join ' ', sort map { $_->{rule} } @{$got->{rules}};
}
is(rules_hit("$dir/other.log"), 'login', 'the sets of the configured log');
is(rules_hit("$dir/./other.log"), 'login', 'known under another name');
spew("$dir/third.log", slurp("$dir/other.log"));
is(rules_hit("$dir/third.log"), 'auth login', 'the sets of all logs');
is(rules_hit('--rules', 'mail', "$dir/other.log"), 'auth', '--rules');
is(rules_hit('--rules=mail,other', "$dir/other.log"), 'auth login',
    'several of them');
is(rules_hit("$dir/mail.log", "$dir/other.log"), 'auth login', 'two logs');

# More offenders than there is room for.
my $small = spew("$dir/small.conf", slurp($conf), "max_addresses = 1000\n");
spew("$dir/many.log", map {
	sasl(1, '10.' . ($_ >> 8) . '.' . ($_ & 255) . '.1', $_)
} 1 .. 1500);
($status, $out) = run_cmd($mxwarden, '-c', $small, '--json', 'replay',
    "$dir/many.log");
$r = json($out);
is($r->{addresses}, 1000, 'as many as max_addresses');
is($r->{untold}, 500, 'the others are counted');
is($r->{scored}, 1500, 'and scored');

# Shapes of lines that no rule knows.
spew("$dir/odd.log", join '', map { "Dec 14 09:58:37 mx1 postfix/smtpd[1]: $_\n" }
    'connect from a.example[192.0.2.1]', 'connect from b2.example[2001:db8::1]',
    'odd <"x"@y> "quoted" from unknown[198.51.100.1] 17 times',
    'no address here');
$r = json(ctl_ok('--json', 'replay', '--unmatched', '5', "$dir/odd.log"));
is_deeply([map { "$_->{lines} $_->{shape}" } @{$r->{unmatched}}],
    ['1 smtpd: connect from HOST[ADDR]', '1 smtpd: connect from a.example[ADDR]',
    '1 smtpd: odd <> "" from unknown[ADDR] N times'], 'replay --unmatched');
is($r->{unmatched}[2]{example},
    'odd <"x"@y> "quoted" from unknown[198.51.100.1] 17 times', 'an example');
$text = ctl_ok('replay', '--unmatched', '1', "$dir/odd.log");
like($text, qr/^unmatched  3 lines that name an address\n *LINES  SHAPE\n +1  smtpd: connect from HOST\[ADDR\]\n\z/m,
    'replay --unmatched as text');
fails(qr/'x' is not a number/, $mxwarden, '-c', $conf, 'replay', '--unmatched',
    'x', "$dir/odd.log");

# The bar.
SKIP: {
	my $script = have_program('script');

	skip 'script(1) is not installed', 2 if !$script;
	my $fifo = "$dir/fifo";

	POSIX::mkfifo($fifo, 0600) or die "mkfifo: $!";
	my $feeder = spawn(name => 'feeder', oneshot => 1, cmd => [$^X, '-e', '
		open my $f, ">", shift or die $!;
		for (1 .. 12) {
			print {$f} ("Dec 14 09:58:37 mx1 postfix/qmgr[1]: x\n")
			    x 10000;
			$f->flush;
			select undef, undef, undef, 0.1;
		}', $fifo]);
	($status, $out) = run_cmd($script, '-qec', "$mxwarden -c $conf replay " .
	    "--rules mail $fifo", '/dev/null');
	like($out, qr/\r[\d.]+ MB  \d+ lines  [\d.]+ M\/s/,
	    'progress on a terminal');
	like($out, qr/\r\e\[K(?:\r)?lines +120000/, 'which is wiped away');
}
done_testing;
