#!/usr/bin/perl
# The command that is run for blocks: what it is told, what it may not do, and
# that nothing it does holds anything up.
use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use MxwardenTest;

my $dir = tmp_dir();
my $out = "$dir/out";
my @levels = map { [$_->[0] => { threshold => $_->[1], duration => '1h',
	action => "$_->[2] Abuse" }] } ['defer', 5, 'DEFER 4.7.1'],
    ['reject', 10, 'REJECT 5.7.1'], ['firewall', 20, '521 5.7.1'];

sub
script {
	my ($name, $text) = @_;
	my $path = spew("$dir/$name", "#!/bin/sh\n$text\n");

	chmod 0755, $path or die "chmod: $!";
	return $path;
}

sub
daemon {
	my (%notify) = @_;

	return MxwardenTest::Daemon->new(conf => { level => \@levels,
		host => 'mx1', notify => \%notify });
}

# The runs of the note script: {variable} = value.
sub
runs {
	my @runs;

	for (split /^--\n/m, slurp($out) // '') {
		push @runs, { /^(\w+)=(.*)$/mg } if /^end$/m;
	}
	return @runs;
}

sub
wait_runs {
	my ($n) = @_;

	wait_for { runs() >= $n } 30, "$n runs";
	return runs();
}

# One write for each run: runs happen at the same time.
my $note = script(note => <<"EOT");
t="\$(env; echo ARGS="\$#:\$1:\$2"; echo PWD=\$(pwd)
ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> /FD\\1=/p'; echo end; echo --)"
printf '%s\\n' "\$t" >>$out
EOT

# --- What it is told ----------------------------------------------------------

{
	my $d = daemon(command => [$note, 'two words', '$(id) `id` *'],
		rate => '1000/m');

	$d->ctl('block', '192.0.2.1', '-l', 'reject', '-t', '1h',
		'-r', "a \"b\" \$(id)");
	my ($r) = wait_runs(1);
	is($r->{MXW_EVENT}, 'blocked', 'MXW_EVENT');
	is($r->{MXW_ADDRESS}, '192.0.2.1', 'MXW_ADDRESS');
	is($r->{MXW_LEVEL}, 'reject', 'MXW_LEVEL');
	is($r->{MXW_SCORE}, '0', 'MXW_SCORE');
	# Blanks of a reason are replaced: it is one word everywhere.
	is($r->{MXW_RULE}, 'a_"b"_$(id)', 'MXW_RULE, with no shell between');
	is($r->{MXW_HOST}, 'mx1', 'MXW_HOST');
	like($r->{MXW_UNTIL}, qr/\A\d{4}-\d\d-\d\dT[\d:.]+Z\z/, 'MXW_UNTIL');
	is($r->{MXW_STRIKES}, '0', 'MXW_STRIKES');
	is($r->{MXW_REASON}, 'manual', 'MXW_REASON');
	is($r->{MXW_SUPPRESSED}, '0', 'MXW_SUPPRESSED');
	is($r->{ARGS}, '2:two words:$(id) `id` *', 'the arguments as they are');
	is($r->{PWD}, '/', 'the working directory');
	ok(!exists $r->{HOME} && !exists $r->{MXW_SRC}, 'no other variables');
	is($r->{FD0}, '/dev/null', 'standard input');
	is_deeply([grep { /^FD(\d+)/ && $1 > 2 &&
		$r->{$_} !~ m{/proc/|pipe:|/note\z} } keys %$r], [],
	    'no other descriptors (but those of the shell itself)') or diag(explain($r));

	$d->ctl('unblock', '192.0.2.1');
	(undef, $r) = wait_runs(2);
	is("$r->{MXW_EVENT} $r->{MXW_ADDRESS} $r->{MXW_REASON}",
	    'unblocked 192.0.2.1 manual', 'the end');

	# From the log, over two levels.
	my @t = gmtime;
	my $stamp = sprintf '%s %2d %02d:%02d:%02d', (qw(Jan Feb Mar Apr May
	    Jun Jul Aug Sep Oct Nov Dec))[$t[4]], @t[3, 2, 1, 0];
	$d->log_append(map { "$stamp mx postfix/smtpd[" . (100 + $_) .
	    ']: warning: unknown[2001:db8::7]: SASL LOGIN authentication ' .
	    'failed: x' } 1 .. 5);
	my @r = wait_runs(4);
	is_deeply([sort map { "$_->{MXW_ADDRESS} $_->{MXW_LEVEL} $_->{MXW_RULE} " .
		$_->{MXW_REASON} } @r[2, 3]],
	    ['2001:db8::/64 defer postfix-auth-failed decided',
		'2001:db8::/64 reject postfix-auth-failed raised'],
	    'decided and raised');

	# What is loaded at the start is no news.
	$d->restart;
	$d->ctl('block', '192.0.2.2');
	@r = wait_runs(5);
	is($r[4]{MXW_ADDRESS}, '192.0.2.2', 'nothing is told again');
	$d->stop;
	unlink $out;
}

# --- Level and rate -----------------------------------------------------------

{
	my $d = daemon(command => [$note], rate => '3/h', min_level => 'reject');

	$d->ctl('block', '192.0.2.1', '-l', 'defer');
	$d->ctl('block', "192.0.2.$_", '-l', 'firewall') for 2 .. 9;
	my @r = wait_runs(3);
	is_deeply([sort map { $_->{MXW_ADDRESS} } @r],
	    ['192.0.2.2', '192.0.2.3', '192.0.2.4'],
	    'the rate, and no lower level');
	# Another rate is a full bucket.
	$d->write_conf({ level => \@levels, host => 'mx1', notify => {
		command => [$note], rate => '100/m', min_level => 'reject' } });
	$d->ctl('reload');
	$d->ctl('block', '192.0.2.10', '-l', 'reject');
	@r = wait_runs(4);
	is("$r[3]{MXW_ADDRESS} $r[3]{MXW_SUPPRESSED}", '192.0.2.10 5',
	    'how many were left out is told with the next');
	$d->stop;
	unlink $out;
}

# --- Bounds -------------------------------------------------------------------

{
	my $sleep = script(sleep => "echo \$\$ >>$dir/pids; sleep 1000 & " .
	    "echo \$! >>$dir/pids; wait");
	my $d = daemon(command => [$sleep], rate => '100000/m',
		timeout => '500ms');
	my $children = sub {
		return split ' ', slurp('/proc/' . $d->pid . '/task/' .
		    $d->pid . '/children');
	};

	my $start = time;
	$d->ctl('block', "198.51.100.$_") for 1 .. 100;
	my ($most, $slowest) = (0, 0);
	wait_for {
		my $n = $children->();
		my $begin = time;

		$most = $n if $n > $most;
		$d->ask(client_address => '203.0.113.1') eq 'DUNNO' or
		    die 'a wrong answer';
		$slowest = time - $begin if time - $begin > $slowest;
		$d->proc->stderr =~ /killed at its time-out/;
	} 30, 'a run to be killed';
	# A snapshot's process is a child as well.
	cmp_ok($most, '<=', 5, "at most four at a time: $most");
	cmp_ok($most, '>=', 4, 'and as many as that');
	wait_for {
		my @pids = split ' ', slurp("$dir/pids");
		@pids >= 16 && !grep { -e "/proc/$_" && slurp("/proc/$_/stat") !~
		    /\) Z / } @pids[0 .. 7];
	} 30, 'those first ones and their children to be gone';
	pass('killed with what they have started');
	diag(sprintf 'slowest answer %.3f s', $slowest);
	$start = time;
	$d->stop;
	cmp_ok(time - $start, '<', patience(10), 'they do not hold up the end');
	wait_for { !grep { -e "/proc/$_" && slurp("/proc/$_/stat") !~ /\) Z /
	    } split ' ', slurp("$dir/pids") } 10, 'nothing to be left';
	pass('nothing is left behind');
}

# --- Trouble ------------------------------------------------------------------

{
	my $port = free_port();
	my $d = MxwardenTest::Daemon->new(conf => { level => \@levels,
		http => "127.0.0.1:$port", notify => {
		command => [script(fail => 'echo oops; exit 3')] } });
	my $conf = sub { $d->write_conf({ level => \@levels,
		http => "127.0.0.1:$port", notify => { rate => '1000/m', @_ } });
		return $d->ctl_full('reload') };
	my $n = 0;
	my $block = sub { $d->ctl('block', '192.0.2.' . ++$n) };

	$block->();
	$d->wait_stderr(qr/notify\.command: \S*fail: exit status 3$/m);
	like($d->proc->stderr, qr/^oops$/m, 'what it says is seen');
	$conf->(command => ["$dir/nosuch"]);
	$block->();
	$d->wait_stderr(qr/\S*nosuch: No such file or directory/);
	$conf->(command => [script(kill => 'kill -SEGV $$')]);
	$block->();
	$d->wait_stderr(qr/\S*kill: ended by signal 11/);
	spew("$dir/data", 'x');
	$conf->(command => ["$dir/data"]);
	$block->();
	$d->wait_stderr(qr/\S*data: Permission denied/);
	$conf->(command => []);
	$block->();
	$conf->(command => ['/bin/true']);
	$block->();
	my $get = sub {
		my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
			PeerPort => $port) or return '';
		print {$s} "GET /metrics HTTP/1.0\r\n\r\n";
		local $/;
		return <$s>;
	};
	wait_for { $get->() =~ /notifications_total\{result="done"\} 1$/m } 20,
	    'one that is done';
	like($get->(), qr/notifications_total\{result="failed"\} 4$/m,
	    'and those that failed, in the metrics');
	my $zombies = grep { slurp("/proc/$_/stat") =~ /\) Z / } split ' ',
	    slurp('/proc/' . $d->pid . '/task/' . $d->pid . '/children');
	is($zombies, 0, 'no zombie');

	for ([{ command => ['note'] }, qr/'note' is not an absolute path/],
	    [{ min_level => 'high' }, qr/there is no level "high"/],
	    [{ rate => '10' }, qr/option 'rate': '10' is not a rate/],
	    [{ timeout => '2h' }, qr/option 'timeout': 2h is out of range/]) {
		my ($status, undef, $err) = $conf->(%{$_->[0]});
		is($status, 2, 'refused');
		like($err, $_->[1], 'with the reason');
	}
	$d->stop;
}

# --- Not allowed unless configured at the start -------------------------------

{
	my $d = MxwardenTest::Daemon->new(conf => { level => \@levels });
	$d->write_conf({ level => \@levels, notify => { command => [$note] } });
	is(($d->ctl_full('reload'))[0], 0, 'a command comes later');
	$d->wait_stderr(qr/'notify\.command' was not set at the start: a restart is needed/);
	$d->ctl('block', '192.0.2.1');
	is($d->ask(client_address => '192.0.2.1') =~ /Abuse/, 1,
	    'the daemon lives');
	$d->restart;
	$d->ctl('block', '192.0.2.2');
	my ($r) = wait_runs(1);
	is($r->{MXW_ADDRESS}, '192.0.2.2', 'after a restart it is run');
	$d->stop;
	unlink $out;
}

# --- The example --------------------------------------------------------------

{
	my $digest = src_dir() . '/contrib/notify/mxwarden-digest';
	my $env = { DIGEST => "$dir/digest", SENDMAIL => script(sendmail =>
	    "echo \"\$*\" >>$dir/sent; cat >>$dir/sent; exit \$(cat $dir/rc)") };
	my %vars = (MXW_EVENT => 'blocked', MXW_ADDRESS => '192.0.2.1',
		MXW_LEVEL => 'reject', MXW_SCORE => '10', MXW_RULE => 'x $(id)',
		MXW_HOST => 'mx1', MXW_UNTIL => '2026-01-31T09:05:00Z',
		MXW_STRIKES => 1, MXW_REASON => 'decided');
	my $run = sub { (run_cmd({ env => { %$env, %vars, %{$_[0]} } },
		$digest, @_[1 .. $#_]))[0] };

	spew("$dir/rc", 0);
	is($run->({}, 'mail', 'root'), 0, 'nothing to mail');
	ok(!-e "$dir/sent", 'nothing mailed');
	is($run->({ MXW_SUPPRESSED => 0 }, 'note'), 0, 'noted');
	is($run->({ MXW_SUPPRESSED => 7 }, 'note'), 0, 'noted');
	spew("$dir/rc", 1);
	isnt($run->({}, 'mail', 'root'), 0, 'mailing fails');
	$run->({ MXW_SUPPRESSED => 0, MXW_EVENT => 'unblocked' }, 'note');
	spew("$dir/rc", 0);
	unlink "$dir/sent";
	is($run->({}, 'mail', 'root'), 0, 'mailed');
	my $sent = slurp("$dir/sent");
	like($sent, qr/\A-oi -- root\nTo: root\nSubject: mxwarden: 3 events/,
	    'with what was kept');
	like($sent, qr/^\S+ \S+ blocked 192\.0\.2\.1 level=reject score=10 rule=x \$\(id\) until=2026-01-31T09:05:00Z strikes=1 reason=decided$/m,
	    'a line');
	like($sent, qr/\(7 more before this\)$/m, 'and what was left out');
	unlink "$dir/sent";
	$run->({}, 'mail', 'root');
	ok(!-e "$dir/sent", 'once');
}

done_testing;
