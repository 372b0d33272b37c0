#!/usr/bin/perl
# Who may do what with the control socket: its mode says who may look; root, the
# daemon's user and members of its group may change something.
use strict;
use warnings;

use File::Copy ();
use MxwardenTest;
use Test::More;

need(root => 1);
my ($other, $daemon_user) = ((getpwnam 'nobody')[2], 'daemon');
my ($group, $gid) = ('mail', (getgrnam 'mail')[2]);
skip_test('needs users nobody and daemon, and group mail')
    if !defined $other || !defined $gid || !defined getpwnam $daemon_user;
my $nogroup = 65533;

# The build directory may be closed to them.
my $bin = tmp_dir() . '/mxwarden';
File::Copy::copy(program('mxwarden'), $bin) or die "copy: $!";
chmod 0755, $bin;

# mxwarden, as another user with these groups (the first is the primary one).
sub
ctl_as {
	my ($d, $uid, $groups, @args) = @_;

	return run_cmd($^X, '-e', '
		my ($uid, $groups, @cmd) = @ARGV;
		my ($gid) = split / /, $groups;
		$) = $groups;
		$( = $gid;
		$< = $> = $uid;
		die "still root" if $> == 0 || $< == 0;
		exec { $cmd[0] } @cmd or die "$cmd[0]: $!";
	', $uid, "@$groups", $bin, '-s', $d->control, @args);
}

sub
daemon {
	my (%conf) = @_;
	my $d = MxwardenTest::Daemon->new(start => 0, conf => { log => undef,
		%conf });

	chown +(getpwnam $daemon_user)[2], -1, $d->dir . '/state' or die $!;
	$d->write_text(slurp($d->conf_file));
	return $d->start;
}

my $d = daemon(user => $daemon_user, control_mode => '0666',
    control_group => $group);
my @st = stat $d->control;
is($st[2] & 07777, 0666, 'the mode is as configured');
is($st[5], $gid, 'the group, too');

for my $args (['status'], ['list'], ['top'], ['allow', 'list']) {
	is((ctl_as($d, $other, [$nogroup, $nogroup], @$args))[0], 0,
	    "another user may: @$args");
}
for my $args (['block', '192.0.2.1'], ['unblock', '192.0.2.1'],
    ['unblock', '--all'], ['forgive', '192.0.2.1'],
    ['allow', 'add', '192.0.2.1'], ['allow', 'del', '192.0.2.1'], ['reload']) {
	my ($status, $out, $err) =
	    ctl_as($d, $other, [$nogroup, $nogroup], @$args);

	is($status, 2, "another user may not: @$args");
	like($err, qr/permission denied/, 'and is told why');
}
is_deeply($d->ctl('list'), [], 'nothing happened');

is((ctl_as($d, $other, [$gid, $gid], 'block', '192.0.2.1'))[0], 0,
    'with the group as primary group: may');
is((ctl_as($d, $other, [$nogroup, $nogroup, $gid], 'block', '192.0.2.2'))[0],
    0, 'with the group as supplementary group: may');
is((ctl_as($d, $other, [$nogroup, 10 .. 300, $gid], 'block', '192.0.2.4'))[0],
    0, 'with several hundred groups: may');
is((ctl_as($d, (getpwnam $daemon_user)[2], [$nogroup, $nogroup], 'block',
    '192.0.2.3'))[0], 0, "the daemon's user may");
is(scalar @{$d->ctl('list')}, 4, 'these things happened');
like($d->proc->stderr, qr/control: unix:pid=\d+ uid=$other: block /,
    'the log says who did what');
$d->stop;

# Without a place in the mode there is no connection at all.
$d = daemon(user => $daemon_user, control_mode => '0660',
    control_group => $group);
my ($status, undef, $err) = ctl_as($d, $other, [$nogroup, $nogroup], 'list');
is($status, 2, 'mode 0660: not even a look');
like($err, qr/Permission denied: are you root/, 'with a hint');
is((ctl_as($d, $other, [$nogroup, $nogroup, $gid], 'list'))[0], 0,
    'but for members of the group');
$d->stop;
done_testing;
