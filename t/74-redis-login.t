# Ways to log in to Redis, with no more rights than contrib/redis/users.acl
# gives; a Redis that does not permit client tracking; configurations that are
# refused.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use MxwardenTest;
use MxwardenTest::Offences;
use Test::More;

skip_test('redis-server is not installed')
    if !have_program('redis-server') && !have_program('valkey-server');

sub
daemon {
	my (%conf) = @_;

	return MxwardenTest::Daemon->new(conf => offence_conf(%conf));
}

sub
ready {
	my ($d, $name) = @_;

	ok(try_for(sub {
		my $s = $d->ctl('status')->{store};
		$s->{ready} && $s->{state} eq 'ready';
	}, 10), $name) or diag $d->proc->stderr;
	return;
}

# The documented user: everything works.
my ($acl) = slurp(src_dir() . '/contrib/redis/users.acl') =~ /^user (.*)$/m;
$acl =~ s/CHANGE-ME/secret/;
my $redis = MxwardenTest::Redis->new;
$redis->cmd('ACL', 'SETUSER', split ' ', $acl);
my $file = spew(tmp_dir() . '/password', "secret\n");
my $d = daemon(store => $redis->url,
	redis => { user => 'mxwarden', password_file => $file });
ready($d, 'the user of contrib/redis/users.acl');
$d->log_append(offence('192.0.2.1')) for 1 .. 10;
wait_for { $d->ask(client_address => '192.0.2.1') =~ /^REJECT/ } 5, 'the block';
$redis->cmd('SET', 'mxwarden:block:192.0.2.2', 'reject', 'EX', 60);
ok(try_for(sub { $d->ask(client_address => '192.0.2.2') =~ /^REJECT/ }, 5),
    '... is told of changes');
$d->ctl(@$_) for ['block', '192.0.2.3'], ['unblock', '192.0.2.3'],
    ['forgive', '192.0.2.1'], ['allow', 'add', '192.0.2.4'],
    ['allow', 'del', '192.0.2.4'], ['show', '192.0.2.1'], ['top'],
    ['unblock', '--all'];
my $s = $d->ctl('status')->{store};
is($s->{errors}, 0, '... and may do all that is needed')
    or diag $d->proc->stderr;
is($redis->cmd('XLEN', 'mxwarden:events') > 5, 1, '... events are written');
is_deeply([grep { /mxwarden/ } map { my %e = @$_; $e{'username'} }
    @{$redis->cmd('ACL', 'LOG')}], [], '... nothing was denied')
    or diag explain $redis->cmd('ACL', 'LOG');

# A wrong password, put right without a restart.
$d->stop;
spew($file, "wrong\n");
$d->launch;
$d->wait_ready;
wait_for { $d->ctl('status')->{store}{detail} =~ /WRONGPASS/ } 5,
    'the refusal';
is($d->ctl('status')->{store}{ready} ? 1 : 0, 0, 'wrong password: not ready');
unlike($d->proc->stderr, qr/secret|wrong\b/, '... it is not logged');
spew($file, "secret\r\n");
ready($d, 'the right one is read again');
$d->stop;

# Without client tracking.
$redis->cmd('ACL', 'SETUSER', 'mxwarden', '-client|tracking');
$d->start;
$d->wait_stderr(qr/no client tracking \(NOPERM/);
ready($d, 'no client tracking: works');
$redis->cmd('SET', 'mxwarden:block:192.0.2.7', 'reject', 'EX', 60);
ok(try_for(sub { $d->ask(client_address => '192.0.2.7') =~ /^REJECT/ }, 15),
    '... keys are read periodically');
$redis->cmd('DEL', 'mxwarden:block:192.0.2.7');
ok(try_for(sub { $d->ask(client_address => '192.0.2.7') eq 'DUNNO' }, 15),
    '... in both directions');
$d->stop;

# A unix socket, another database, another prefix, a password in the URI.
$redis->cmd('ACL', 'SETUSER', 'u', 'on', '>p@/:', '~*', '&*', '+@all');
$d = daemon(store => 'redis+unix://u:p%40%2f%3a@' . $redis->socket . '?db=3',
	redis => { prefix => 'a*[b]?:' });
ready($d, 'unix socket, database, prefix, password in the URI');
$d->log_append(offence('192.0.2.1')) for 1 .. 5;
wait_for { $d->ask(client_address => '192.0.2.1') =~ /^DEFER/ } 5, 'the block';
$redis->cmd('SELECT', 3);
is($redis->cmd('EXISTS', 'a*[b]?:block:192.0.2.1'), 1, '... it is there');
$redis->cmd('SET', 'aXbY:block:192.0.2.9', 'reject');
$redis->cmd('SET', 'a*[b]?:block:192.0.2.8', 'reject');
ok(try_for(sub { $d->ask(client_address => '192.0.2.8') =~ /^REJECT/ }, 5),
    '... its keys are heard of');
$d->restart;
ready($d, '... and found');
ok($d->ask(client_address => '192.0.2.8') =~ /^REJECT/ &&
    $d->ask(client_address => '192.0.2.9') eq 'DUNNO', '... no others');
unlike($d->ctl('status')->{store}{detail}, qr/p@|p%40/,
    '... the status does not show the password');
$d->stop;

# A server that wants a password and gets none.
my $closed = MxwardenTest::Redis->new(password => 'x');
$d = daemon(store => $closed->url);
ok(try_for(sub { $d->ctl('status')->{store}{detail} =~ /NOAUTH/ }, 5),
    'no password: NOAUTH in the status');
$d->stop;

# Refused at the start.
for my $bad ('redis://redis.example.com', 'redis://127.0.0.1:99999', 'redis:x',
    'sentinel://127.0.0.1', 'redis+unix://relative') {
	$d = MxwardenTest::Daemon->new(start => 0,
		conf => offence_conf(store => $bad));
	my ($status, undef, $err) = run_cmd(program('mxwardend'), '-t', '-c',
		$d->conf_file);
	ok($status != 0 && $err =~ /option 'store': not a store: \S/,
	    "$bad is refused");
}
done_testing;
