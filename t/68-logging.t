#!/usr/bin/perl
# Where messages go, in which form, and what is in the lines about blocks.
use strict;
use warnings;

use JSON::PP ();
use Test::More;

use MxwardenTest;

my $time = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z/;

sub
lines {
	my ($file) = @_;

	return split /\n/, slurp($file) // '';
}

sub
wait_line {
	my ($file, $re) = @_;

	wait_for { scalar grep { $_ =~ $re } lines($file) } 20,
	    "a line like $re in $file";
	return (grep { $_ =~ $re } lines($file))[0];
}

# --- A file -------------------------------------------------------------------

my $d = MxwardenTest::Daemon->new(start => 0);
my $file = $d->dir . '/out.log';
my %base = (log_target => "file:$file", host => 'mx1.example.org');

$d->write_conf({ %base });
$d->start;
wait_line($file, qr/\A$time mxwardend \S+ is ready\z/);
is($d->proc->stderr =~ /is ready/, '', 'and not to stderr');
is((stat $file)[2] & 07777, 0640, 'its mode');
$d->ctl('block', '192.0.2.1', '-l', 'reject', '-t', '1h', '-r', 'spam');
my $line = wait_line($file, qr/ blocked /);
like($line, qr/\A$time blocked 192\.0\.2\.1 level=reject score=0 rule=spam host=mx1\.example\.org until=$time strikes=0 reason=manual\z/,
    'the line about a block');
$d->ctl('unblock', '192.0.2.1');
$line = wait_line($file, qr/ unblocked /);
like($line, qr/\A$time unblocked 192\.0\.2\.1 level=reject score=0 rule=spam host=mx1\.example\.org until=$time strikes=0 reason=manual\z/,
    'and its end');

# From a score, over two levels, and to the end.
my $stamp = do { my @t = gmtime; sprintf '%s %2d %02d:%02d:%02d',
    (qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec))[$t[4]],
    @t[3, 2, 1, 0] };
$d->log_append(map { "$stamp mx postfix/smtpd[" . (100 + $_) . ']: warning: ' .
    'unknown[2001:db8::7]: SASL LOGIN authentication failed: x' } 1 .. 3);
$line = wait_line($file, qr/ blocked 2001/);
like($line, qr/ blocked 2001:db8::\/64 level=defer score=6 rule=postfix-auth-failed host=mx1\.example\.org until=$time strikes=0 reason=decided\z/,
    'decided');
$d->log_append(map { "$stamp mx postfix/smtpd[" . (200 + $_) . ']: warning: ' .
    'unknown[2001:db8::7]: SASL LOGIN authentication failed: x' } 1 .. 3);
wait_line($file, qr/ blocked 2001:db8::\/64 level=reject score=\d+ .* reason=raised\z/);
pass('raised');
ok(!(grep { / offence / } lines($file)), 'no offences at this level');

# Rotation.
my $n = 0;
for my $how (['USR1', sub { $d->signal('USR1') }],
    ['HUP', sub { $d->signal('HUP') }],
    ['mxwarden reload', sub { $d->ctl('reload') }]) {
	my ($name, $code) = @$how;
	my $addr = '198.51.100.' . ++$n;

	rename $file, "$file.1" or die "rename: $!";
	$d->ctl('allow', 'add', $addr);
	wait_line("$file.1", qr/allow-add \S*\Q$addr\E/);
	ok(!-e $file, "$name: goes on with the old file");
	$code->();
	wait_for { -e $file } 20, 'a new one';
	$d->ctl('allow', 'del', $addr);
	wait_line($file, qr/allow-del \S*\Q$addr\E/);
	ok(!(grep { /allow-del \S*\Q$addr\E/ } lines("$file.1")), "$name: then the new one");
	unlink "$file.1";
}
rename $file, "$file.1" or die "rename: $!";
mkdir $file or die "mkdir: $!";
$d->signal('USR1');
wait_line("$file.1", qr/error: \Q$file\E: cannot be opened again, writing to the old file: /);
pass('what cannot be opened is said in the old one');
rmdir $file;
rename "$file.1", $file;
$d->signal('USR1');

# Levels.
$d->write_conf({ %base, log_level => 'info' });
$d->ctl('reload');
$d->log_append("$stamp mx postfix/smtpd[300]: warning: " .
    'unknown[192.0.2.77]: SASL LOGIN authentication failed: x');
wait_line($file, qr/\A$time offence 192\.0\.2\.77 rule=postfix-auth-failed weight=2 attempts=1 log=/);
pass('info: offences');
$d->write_conf({ %base, log_level => 'error' });
$d->ctl('reload');
$d->ctl('block', '192.0.2.2');
$d->write_conf({ %base });
$d->ctl('reload');
$d->ctl('block', '192.0.2.6');
wait_line($file, qr/ blocked 192\.0\.2\.6 /);
ok(!(grep { / blocked 192\.0\.2\.2 / } lines($file)), 'error: no blocks');

# One address in and out: told a few times, then counted.
for (1 .. 20) {
	$d->ctl('block', '192.0.2.3');
	$d->ctl('unblock', '192.0.2.3');
}
$d->ctl('block', '192.0.2.4');
wait_line($file, qr/ blocked 192\.0\.2\.4 /);
is(scalar(grep { / blocked 192\.0\.2\.3 / } lines($file)), 5,
    'repeats are told five times');
is(scalar(grep { / unblocked 192\.0\.2\.3 / } lines($file)), 5,
    'of each kind');

# --- JSON ---------------------------------------------------------------------

my $json = $d->dir . '/out.json';
$d->write_conf({ %base, log_target => "file:$json", log_format => 'json',
	log_level => 'info' });
is(($d->ctl_full('reload'))[0], 0, 'another target, another form');
my $odd = "a \"b\" \\ \t <\xc3\xa9>";
$d->ctl('block', '192.0.2.5', '-l', 'reject', '-t', '1h', '-r', $odd);
$d->log_append("$stamp mx postfix/smtpd[301]: warning: " .
    'unknown[192.0.2.78]: SASL LOGIN authentication failed: x');
wait_line($json, qr/offence/);
wait_line($json, qr/"blocked"/);
my @events = map { JSON::PP->new->utf8->decode($_) } lines($json);
pass('every line is an object');
like($_->{time}, $time, "time: $_->{message}") for @events;
my ($block) = grep { ($_->{event} // '') eq 'blocked' } @events;
my ($offence) = grep { ($_->{event} // '') eq 'offence' } @events;
is_deeply([sort keys %$block], [sort qw(time severity event address level score
	rule host until strikes reason message)], 'the fields of a block');
is($block->{severity}, 'notice', 'severity');
is($block->{address}, '192.0.2.5', 'address');
is($block->{score}, 0, 'a number');
like($block->{until}, $time, 'until');
is($block->{reason}, 'manual', 'reason');
is($block->{host}, 'mx1.example.org', 'host');
like($block->{message}, qr/\Ablocked 192\.0\.2\.5 /, 'message');
is($offence->{weight}, 2, 'an offence');
is($offence->{rule}, 'postfix-auth-failed', 'its rule');
my ($plain) = grep { $_->{message} =~ /reloaded/ } @events;
is_deeply([sort keys %$plain], [qw(message severity time)],
    'a message that is no event');

# --- What cannot be had -------------------------------------------------------

for (["file:$file/x", qr/log_target': \Q$file\E\/x: Not a directory/],
    ["file:" . $d->dir, qr/log_target': /],
    ['file:x', qr/option 'log_target': 'x' is not an absolute path/],
    ['nonsense', qr/option 'log_target': 'nonsense' is not/]) {
	$d->write_conf({ log_target => $_->[0], dry_run => 'true' });
	my ($status, undef, $err) = $d->ctl_full('reload');
	is($status, 2, "$_->[0]: refused");
	like($err, $_->[1], 'with the reason');
}
ok(!$d->ctl('status')->{dry_run}, 'and nothing has changed');
wait_line($json, qr/configuration not reloaded/);
$d->write_conf({ %base, log_target => 'stderr' });
$d->ctl('reload');
$d->wait_stderr(qr/\d\d:\d\d:\d\d configuration reloaded/);
$d->stop;

$d = MxwardenTest::Daemon->new(start => 0, conf => {});
$d->write_conf({ log_target => 'file:/dev/full/x' });
$d->launch;
is($d->proc->wait(20), 2, 'at the start it is an error');
like($d->proc->stderr, qr/log_target/, 'said to whoever starts it');
$d->proc->{stopped} = 1;

# A full disk: counted, and told when there is room again.
SKIP: {
	skip 'needs root', 2 if $> != 0 || !have_program('mount');
	my ($status) = run_cmd('unshare', '--mount', 'true');
	skip 'cannot mount here', 2 if $status != 0;
	$d = MxwardenTest::Daemon->new(start => 0, wrap => ['unshare',
		'--mount', '/bin/sh', '-c', 'mkdir -p "$0" && mount -t tmpfs ' .
		'-o size=16k,mode=0755 none "$0" && exec "$@"', tmp_dir() .
		'/small']);
	my $small = tmp_dir() . '/small';
	$d->write_conf({ log_target => "file:$small/out.log" });
	$d->start;
	my $root = '/proc/' . $d->pid . "/root$small";
	{
		open my $fh, '>', "$root/fill" or die;
		1 while syswrite $fh, 'x' x 4096;
	}
	for (1 .. 60) {
		$d->ctl('block', "192.0.2.$_");
	}
	is($d->ask(client_address => '192.0.2.250'), 'DUNNO',
	    'a full disk holds nothing up');
	unlink "$root/fill";
	$d->ctl('block', '192.0.2.200');
	wait_line("$root/out.log", qr/warning: \d+ messages before this could not be written/);
	pass('what was lost is counted');
	$d->stop;
}

# --- Under systemd ------------------------------------------------------------

{
	# JOURNAL_STREAM names the file that stderr is.
	my $err = tmp_dir() . '/journal';
	$d = MxwardenTest::Daemon->new(start => 0, wrap => ['/bin/sh', '-c',
		"exec 2>>$err; JOURNAL_STREAM=\$(stat -Lc %d:%i /proc/self/fd/2); " .
		'export JOURNAL_STREAM; exec "$@"', 'sh']);
	$d->start;
	wait_line($err, qr/\A<5>mxwardend \S+ is ready\z/);
	pass('the journal is told the priority');
	$d->stop;
}

done_testing;
