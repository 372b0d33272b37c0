# Every block of README that is indented as one types or reads it is known here.
# Commands are run, as they stand there, against a daemon of the test's; what
# cannot run inside a test is listed with the reason and with what runs it. A
# block or a command that nobody has thought of fails.
#
# What differs from a reader's machine:
#
#   mxwardend, mxwarden   those of the build, with the test's configuration
#                         (scripts in a directory at the head of PATH)
#   postfix               one with its own configuration
#   build/mxwarden        the same as mxwarden
#   build/run/mxwarden.conf   the test's configuration
#   127.0.0.1:10040       the test's port
#   127.0.0.1:10041       the test's port for metrics
#   /var/log/mail.log     the test's log; mail.log.1 is there, too
use strict;
use warnings;

use MxwardenTest;
use POSIX qw(strftime);
use Test::More;

my $src = src_dir();
my $readme = slurp("$src/README") // die "README: $!";

# --- The blocks ---------------------------------------------------------------

# What is no command, by its first line; `conf` is put into a configuration.
my %text = (
	'REJECT 5.7.1 Abuse from 203.0.113.5 (postfix-auth-failed) [mxw]' =>
	    'output, compared below',
	'smtpd_client_restrictions =' => 'main.cf, used below',
	'store = "redis://192.0.2.5:6379/0"' => 'conf',
	'firewall { backend = "nftables" }    # or iptables (with ipset), or ' .
	    'command' => 'conf',
	'level      score  for     Postfix is told' => 'a table',
	'09:00:00  2    09:00:10  4' => 'a table',
	'blocked 203.0.113.5 level=defer score=6 rule=postfix-auth-failed ' .
	    'host=mx1 until=2026-12-14T10:08:37Z strikes=0 reason=decided' =>
	    'lines of the log, compared below',
	'mxwardend is away         Postfix goes on (default_action=DUNNO), 1 s later'
	    => 'a table',
	'--sysconfdir=/etc              configuration in /etc/mxwarden' =>
	    'options, compared below',
	'bootstrap            from a checkout to a running daemon, or to the tests'
	    => 'files, compared below',
	'jail.local                       mxwarden.conf' => 'a table',
	'fail2ban-client                  mxwarden' => 'a table',
	'it does not start           mxwardend -t names file, line and option' =>
	    'a table',
	'process          runs as    may' => 'a table',
	'maillog_file = /var/log/mail.log' => 'main.cf',
);

# Commands that are not run here: why, and [file, text] of what runs them.
my $checkout = 'makes a configure and builds from nothing';
my $clean = 't/clean-machine.sh';
my %elsewhere = (
	'./bootstrap run [LOG]' => ['installs packages',
		['t/23-bootstrap.t', "'run'"], [$clean, './bootstrap run']],
	'./bootstrap check' => ['runs this test',
		[$clean, './bootstrap check']],
	'./bootstrap autogen' => [$checkout, [$clean, '^Quick start']],
	'mkdir -p build/install && cd build/install' =>
	    [$checkout, [$clean, '^Quick start']],
	'../../configure --sysconfdir=/etc && make' =>
	    [$checkout, [$clean, '^Quick start']],
	'make -C build/install install' => ['changes the system',
		[$clean, '^Quick start']],
	'useradd --system --user-group --no-create-home --home-dir ' .
	    '/var/lib/mxwarden --shell /usr/sbin/nologin mxwarden' =>
	    ['changes the system', [$clean, '^Quick start']],
	'./configure && make' => [$checkout, ['.ci/run', 'configure_and_make']],
	'apt-get build-dep ./ && dpkg-buildpackage -us -uc' =>
	    ['installs packages', [$clean, 'dpkg-buildpackage -us -uc']],
	'mxwarden firewall check' => ['needs a packet filter',
		['t/lib/MxwardenTest/Firewall.pm', "'firewall', 'check'"]],
	'mxwarden firewall repair' => ['needs a packet filter',
		['t/lib/MxwardenTest/Firewall.pm', "'firewall', 'repair'"]],
	'make check' => ['runs this test', ['Makefile.am', 'check-local']],
	'make check PROVE_FLAGS=-v' => ['runs this test',
		['Makefile.am', 'PROVE_FLAGS']],
	'make check TESTS_TO_RUN=t/40-model.t' => ['would run while others do',
		['debian/rules', 'TESTS_TO_RUN=']],
	'.ci/run' => ['runs this test', [$clean, '.ci/run']],
	'make bench' => ['takes half an hour, on a quiet machine',
		['t/bench/README', 'make bench']],
	'make faults TIME=600' => ['takes twenty minutes',
		['.ci/run', 'faults TIME=']],
	'make fuzz TIME=600' => ['takes hours, and another build',
		['t/fuzz/README', 'make fuzz TIME=600']],
	'make check-valgrind' => ['takes long',
		['.ci/run', 'check-valgrind']],
	'make coverage' => ['needs another build', ['.ci/run', 'coverage']],
	't/clean-machine.sh' => ['runs this test',
		[$clean, 'step_install']],
);

# Indented by four and more, up to the next line that is not. Paragraphs of a
# list of definitions belong to the term before them.
sub
blocks {
	my (@blocks, $block);
	my $previous = '';

	for my $line (split /\n/, $readme) {
		my ($indent, $text) = $line =~ /\A( *)(.*?)\s*\z/;

		if ($text eq '') {
			undef $block;
		} elsif (length $indent < 4) {
			undef $block;
			$previous = $text;
		} elsif ($block) {
			push @$block, $text;
		} elsif ($previous ne '') {
			# Behind a line of text without an empty one: a
			# definition.
			$block = [];
		} else {
			$block = [$text];
			push @blocks, $block;
		}
		$previous = '' if $text eq '';
	}
	return @blocks;
}

# A command without its prompt and without what is said about it.
sub
command {
	my ($line) = @_;

	$line =~ s/\A[\$#] //;
	$line =~ s/\s{2,}\S.*\z//;
	return $line;
}

my %seen;
my @run;
for my $block (blocks()) {
	my ($first) = @$block;

	if (exists $text{$first}) {
		$seen{$first}++;
		next;
	}
	for my $line (@$block) {
		# A table of options may hold a command, too.
		my $command = command($line);

		if (exists $elsewhere{$command}) {
			$seen{$command}++;
		} else {
			push @run, $command;
		}
	}
}
for my $what (sort { $a cmp $b } keys %text, keys %elsewhere) {
	ok($seen{$what} || $readme =~ /^ +\Q$what\E/m, "README has: $what");
}
for my $command (sort keys %elsewhere) {
	my ($why, @where) = @{$elsewhere{$command}};

	for (@where) {
		my ($file, $re) = @$_;

		cmp_ok(index(slurp("$src/$file") // '', $re), '>=', 0,
		    "$command: $why; $file runs it");
	}
}

# --- A place to run them ------------------------------------------------------

my $http = free_port();
my $d = MxwardenTest::Daemon->new(start => 0, conf => {
	include => [map { "$src/conf/rules.d/$_.conf" } qw(postfix postscreen)],
	log => [['%LOG%', { rules => ['postfix', 'postscreen'],
		start => 'beginning' }]],
	http => "127.0.0.1:$http",
	host => 'mx1',
	log_level => 'info',
	log_target => 'file:%DIR%/daemon.log',
});
my $bin = tmp_dir() . '/bin';
my %path = ('127.0.0.1:10040' => '127.0.0.1:' . $d->port,
	'127.0.0.1:10041' => "127.0.0.1:$http",
	'/var/log/mail.log' => $d->log,
	'build/run/mxwarden.conf' => $d->conf_file,
	'build/mxwarden' => 'mxwarden');

mkdir $bin or die;
for my $name (qw(mxwarden mxwardend)) {
	spew("$bin/$name", "#!/bin/sh\n",
	    "for arg; do [ \"\$arg\" = -c ] && exec ", program($name),
	    " \"\$@\"; done\n",
	    # Verbs and addresses do not look like options.
	    'exec ', program($name), ' -c ', $d->conf_file, " \"\$@\"\n");
	chmod 0755, "$bin/$name";
}
spew($d->log . '.1', '');

sub
here {
	my ($command) = @_;

	for my $from (sort { length $b <=> length $a } keys %path) {
		$command =~ s/\Q$from\E/$path{$from}/g;
	}
	return ('/bin/sh', '-ec', "PATH=$bin:\$PATH; $command");
}

# The sample attack, as if it happened now.
sub
attack {
	my $now = strftime('%b %e %H:%M:%S', gmtime);

	# Up to the second level.
	return map { "$now mx1 $_" } grep { !/\A[#+]|\A\s*\z/ }
	    split /\n/, (slurp("$src/contrib/sample/attack.log") =~
	    s/^# Many passwords in one connection: the third level\..*//msr);
}

# What must be in the output.
my %output = (
	'build/mxwarden -c build/run/mxwarden.conf list' =>
	    qr/^203\.0\.113\.5 +reject /m,
	'build/mxwarden ask inet:127.0.0.1:10040 client_address=203.0.113.5' =>
	    qr/\AREJECT 5\.7\.1 Abuse from 203\.0\.113\.5 \(postfix-auth-failed\) \[mxw\]\n\z/,
	'mxwardend -t' => qr/: ok$/m,
	'mxwarden replay /var/log/mail.log' => qr/^203\.0\.113\.5 /m,
	'mxwarden status' => qr/^  state +current$/m,
	'mxwarden list' => qr/^203\.0\.113\.5 /m,
	'mxwarden top' => qr/^203\.0\.113\.5 /m,
	'mxwarden show 203.0.113.5' =>
	    qr/^Its last offences:\n.*^To end it: +mxwarden unblock 203\.0\.113\.5$/ms,
	'mxwarden block 198.51.100.0/24 -t 1d -r scanner' =>
	    qr/198\.51\.100\.0\/24 is blocked/,
	'mxwarden unblock 198.51.100.0/24' => qr/unblocked/,
	'mxwarden forgive 203.0.113.5' => qr/./,
	'mxwarden allow add 192.0.2.0/24' => qr/./,
	'mxwarden reload' => qr/reloaded/,
	'mxwarden ask inet:127.0.0.1:10040 client_address=203.0.113.5' =>
	    qr/\A(?:REJECT|DUNNO)/,
	'mxwarden replay /var/log/mail.log.1 /var/log/mail.log' =>
	    qr/^203\.0\.113\.5 /m,
	'mxwarden check' => qr/: ok/,
	(map { $_ => qr/^rule +postfix-lost-auth|^verdict +offence/m }
	    grep { /\Amxwarden explain/ } @run),
);

# --- They are run, in their order ---------------------------------------------

append($d->log, join '', map { "$_\n" } attack());
$d->start;
wait_for { ($d->blocked('203.0.113.5') // '') eq 'reject' } 20, 'the attack';

my $watched;
for my $command (@run) {
	if ($command eq 'mxwardend') {
		# Into the background, in place of the one that runs.
		$d->stop;
		my ($status, undef, $err) = run_cmd(here($command));

		is($status, 0, "$command: into the background") or diag($err);
		my $pid = $d->ctl('status')->{daemon}{pid};
		MxwardenTest::at_end(sub {
			kill 'TERM', $pid;
			try_for { !kill 0, $pid } 20;
		});
		wait_for { $d->ctl('status')->{logs}[0]{state} eq 'current' } 20,
		    'the log to be read';
		next;
	}
	if ($command eq 'postfix reload') {
		reload_postfix($command);
		next;
	}
	if ($command eq 'mxwarden watch') {
		$watched = spawn(name => 'watch', oneshot => 1,
			cmd => [here("exec $command")]);
		wait_for { $d->ctl('status')->{control}{watchers} == 1 } 20,
		    'the watcher';
		next;
	}
	my ($status, $out, $err) = run_cmd(here($command));

	is($status, 0, $command) or diag("$out$err");
	ok(exists $output{$command}, "$command: it is known what it says");
	like($out, $output{$command} // qr/./, "$command: what it says");
}
wait_for { $watched->stdout =~ /unblocked 198\.51\.100\.0\/24/ } 20,
    'what was done to be watched';
like($watched->stdout, qr/ blocked 198\.51\.100\.0\/24 .*rule=scanner/,
    'mxwarden watch: what it says');
$watched->signal('INT');
is($watched->wait(20), 130, '... until interrupted');

# A Postfix whose main.cf has what README has for it; asks, and takes a reload.
sub
reload_postfix {
	my ($command) = @_;

	SKIP: {
		# t/clean-machine.sh types it in any case.
		skip("$command: needs root and Postfix", 2)
		    if $> != 0 || !have_program('postfix') ||
		    !defined getpwnam 'postfix';
		my ($main) = $readme =~
		    /^( +smtpd_client_restrictions =\n(?: {8,}.*\n)+)/m;

		$main =~ s/^ {7}//mg;
		$main =~ s/127\.0\.0\.1:10040/$path{'127.0.0.1:10040'}/;
		# Nothing that is set twice: postlogd would warn itself of it.
		my $p = MxwardenTest::Postfix->new(main => $main .
		    "mynetworks = 192.0.2.0/24\n" .
		    "smtpd_authorized_xclient_hosts = 127.0.0.1\n");
		spew("$bin/postfix", "#!/bin/sh\nexec " .
		    have_program('postfix') . " -c ${\$p->dir}/etc \"\$@\"\n");
		chmod 0755, "$bin/postfix";
		my ($status, $out, $err) = run_cmd(here($command));
		is($status, 0, $command) or diag("$out$err");
		my $smtp = MxwardenTest::Smtp->new(port => $p->port);
		my $reply;
		$reply = $smtp->cmd($_) for 'EHLO a.example',
		    'XCLIENT ADDR=203.0.113.5 NAME=[UNAVAILABLE]',
		    'EHLO a.example', 'MAIL FROM:<a@example.org>',
		    'RCPT TO:<b@example.com>';
		like($reply, qr/\A554 5\.7\.1 .*Abuse from 203\.0\.113\.5 .*\[mxw\]/,
		    "$command: and it asks as README says");
		$p->stop;
	}
	return;
}

# --- What README shows --------------------------------------------------------

# The form of the log lines.
my $log = slurp($d->dir . '/daemon.log');
my ($shown) = $readme =~ /^((?: {4}(?:un)?blocked .*\n)+ {4}offence .*\n)/m;
for my $line (split /\n/, $shown) {
	my ($form) = $line =~ /\A +(.*)\z/;

	next if $form =~ /reason=expired/; # 69-notify.t waits for one
	$form = quotemeta $form;
	$form =~ s/until\\=\S+?Z/until=\\S+Z/;
	$form =~ s/(?:score|strikes|weight)\\=\K[0-9]+/\\d+/g;
	$form =~ s/rule\\=\K\S+?(?=\\ )/\\S+/;
	$form =~ s/log\\=\K.*/\\S+/;
	like($log, qr/\b$form$/m, "as README shows it: $line");
}

# Options and files.
my (undef, $help) = run_cmd("$src/configure", '--help');
my ($options) = $readme =~ /^(    --sysconfdir=\/etc .*\n(?: {4}.*\n)+)/m;
for my $option ($options =~ /^ +(--[a-z-]+)/mg) {
	(my $name = $option) =~ s/--(?:enable|disable)-//;
	like($help, qr/--(?:enable-|disable-)?\Q$name\E|\Q$option\E/,
	    "configure has $option");
}
my ($files) = $readme =~ /^Files\n-----\n\n(.*)/ms;
for my $file ($files =~ /^ {4}((?:\S+ )*?\S+)(?= {2,})/mg) {
	for my $name (split ' ', $file) {
		next if $name eq '...';
		ok(-e "$src/$name", "there is $name");
	}
}

# The configuration that it shows is one.
for my $conf (grep { $text{$_} eq 'conf' } sort keys %text) {
	spew(tmp_dir() . '/shown.conf', slurp("$src/conf/mxwarden.conf") =~
	    s/^include.*\n//mgr =~ s/^log "[^}]*}\n//msr =~
	    s/^store .*\n|^firewall \{.*?^\}\n//msgr, "$conf\n");
	my ($status, $out, $err) = run_cmd(program('mxwarden'), '-c',
	    tmp_dir() . '/shown.conf', 'check');

	# A back end may not be installed here; that is not the syntax.
	ok($status == 0 || $err =~ /is not installed|no such program/,
	    "conf: $conf") or diag($err);
}
done_testing;
