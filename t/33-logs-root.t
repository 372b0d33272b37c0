# A log that only root may read (Postfix's maillog_file is one): the daemon has
# given up root, the helper opens it and its rotated files.
use strict;
use warnings;

use Test::More;

use MxwardenTest;

need(root => 1);
my $helper = program('mxwarden-priv');
my $user = 'nobody';
sub stamp { my @t = gmtime; return sprintf '%s %2d %02d:%02d:%02d',
    (qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec))[$t[4]], @t[3, 2, 1, 0] }
my $pid = 0;
sub
lost {
	my ($path, $addr) = @_;

	append($path, stamp() . ' mx postfix/smtpd[' . ++$pid .
	    "]: lost connection after AUTH from unknown[$addr]\n");
	chmod 0600, $path or die "chmod $path: $!";
	return;
}

# The helper reads no configuration that others may write; the sources may lie
# in such a place.
my $rules = tmp_dir() . '/postfix.conf';
spew($rules, slurp(src_dir() . '/conf/rules.d/postfix.conf'));
chmod 0644, $rules or die "chmod: $!";
my $d = MxwardenTest::Daemon->new(start => 0, conf => {
	user => $user, helper => $helper, include => [$rules] });
my ($uid, $gid) = (getpwnam $user)[2, 3];
chown $uid, $gid, $d->dir, $d->dir . '/state' or die "chown: $!";
chown 0, 0, $d->dir or die "chown: $!";
chmod 01777, $d->dir or die "chmod: $!"; # for the control socket
my $log = $d->log;
chown 0, 0, $log;
chmod 0600, $log or die "chmod: $!";
$d->start;
sub state_of { return $d->ctl('status')->{logs}[0] }
sub
scored {
	my ($addr, $what) = @_;

	wait_for { $d->score($addr) } 10, $what;
	is($d->score($addr), 2, $what);
	return;
}

wait_for { state_of()->{state} eq 'current' } 10, 'the log to be opened';
my @stat = stat '/proc/' . $d->pid;
is($stat[4], $uid, 'the daemon is not root');
lost($log, '192.0.2.1');
scored('192.0.2.1', 'a line of a log that only root may read');

# Rotated while it is followed.
rename $log, "$log.1" or die "rename: $!";
lost("$log.1", '192.0.2.2');
lost($log, '192.0.2.3');
scored('192.0.2.2', 'the end of the old file');
scored('192.0.2.3', 'and the new one');
ok(try_for(sub {
	!grep { (readlink($_) // '') =~ /mail\.log\.\d/ }
	    glob '/proc/' . $d->pid . '/fd/*'
}, 20), 'the old file is closed, though nothing is written any more');

# Several times while nobody looked.
$d->stop;
lost($log, '192.0.2.4');
rename "$log.1", "$log.4" or die "rename: $!";
rename $log, "$log.3" or die "rename: $!";
lost("$log.2", '192.0.2.5');
lost("$log.1", '192.0.2.6');
lost($log, '192.0.2.7');
$d->start;
scored("192.0.2.$_", "rotated file $_") for 4 .. 7;
is($d->score('192.0.2.3'), 2, 'nothing is read twice');
is(state_of()->{lost}, 0, 'nothing is lost');

# Under other names, also where the log is a link into another directory.
my $dir = $d->dir;
my $n = 20;

# The log is rotated to these names, the first one last, while nobody looks.
sub
rotated_to {
	my ($what, $current, @names) = @_;
	my ($missed) = map { $_->{lost} } state_of();
	my @new;

	$d->stop;
	lost($current, '192.0.2.' . ++$n);
	push @new, $n;
	rename $current, $names[-1] or die "rename: $!";
	for my $name (reverse @names[0 .. $#names - 1]) {
		lost($name, '192.0.2.' . ++$n);
		push @new, $n;
	}
	lost($current, '192.0.2.' . ++$n);
	$d->start;
	scored("192.0.2.$_", "$what: rotated file") for @new;
	scored("192.0.2.$n", "$what: the new one");
	is(state_of()->{lost}, 0, "$what: nothing is lost");
	unlink @names;
	return;
}

unlink glob "$log.*";
rotated_to('number before the ending', $log,
	map { "$dir/mail.$_.log" } 1 .. 2);
rotated_to('date behind it', $log, "$log-20261121", "$log-20261120");
rotated_to('date behind a dot', $log, "$log.20261121", "$log.20261120");
rotated_to('date before the ending', $log, "$dir/mail-20261121.log",
	"$dir/mail-20261120.log");
$d->stop;
my $there = tmp_dir() . '/there';
mkdir $there, 0700 or die "mkdir: $!";
rename $log, "$there/real.log" or die "rename: $!";
symlink "$there/real.log", $log or die "symlink: $!";
$d->start;
my $real = "$there/real.log";
chmod 0755, $there or die "chmod: $!"; # the daemon must list it
lost($real, "192.0.2.90");
scored("192.0.2.90", "through a link");
rotated_to('beside the target of a link', $real, "$real.1", "$real.2");
rotated_to('beside the target, by date', $real, "$there/real-20261121.log",
	"$there/real-20261120.log");

# Compressed while nobody looked.
$d->stop;
lost($real, '192.0.2.91');
rename $real, "$real.1" or die "rename: $!";
is((run_cmd('gzip', "$real.1"))[0], 0, '(compressed)');
lost($real, '192.0.2.92');
$d->start;
scored('192.0.2.91', 'a compressed file');
scored('192.0.2.92', 'and what came after it');
is(state_of()->{lost}, 0, 'nothing is lost');
unlink "$real.1.gz";

# What the helper does not take for a rotated file, it does not open.
$d->stop;
rename $real, "$there/other.1.log" or die "rename: $!";
lost($real, '192.0.2.8');
$d->start;
scored('192.0.2.8', 'goes on without a file that is refused');
is(state_of()->{lost}, 1, 'which is counted');
$d->stop;

# A signal while it waits for its helper is not the end of the waiting.
my $slow = tmp_dir() . '/slow-helper';
spew($slow, "#!/bin/sh\n: >$slow.begun\n" .
    "until [ -e $slow.go ]; do sleep 0.1; done\nexec $helper \"\$@\"\n");
chmod 0755, $slow or die "chmod: $!";
$d->write_conf({ user => $user, helper => $slow, include => [$rules] });
chown $uid, $gid, $d->dir . '/state' or die "chown: $!";
$d->launch;
wait_for { -e "$slow.begun" } 20, 'the helper to begin';
$d->signal('HUP');
wait_for {
	(slurp('/proc/' . $d->pid . '/status') // '') !~
	    /^(?:Sig|Shd)Pnd:\s*0*[1-9a-f]/m
} 20, 'the signal to arrive';
spew("$slow.go", '');
$d->wait_ready;
pass('SIGHUP while it starts');
$d->stop;
done_testing;
