# Three MX hosts on one Redis: scores add up over the hosts, blocks reach all of
# them, keys read and made by hand work as described, the admin command acts for
# all.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use MxwardenTest;
use MxwardenTest::Offences;
use Test::More;
use Time::HiRes qw(time);

skip_test('redis-server is not installed')
    if !have_program('redis-server') && !have_program('valkey-server');

my $redis = MxwardenTest::Redis->new;
my @mx = map {
	MxwardenTest::Daemon->new(conf => offence_conf(store => $redis->url,
		host => "mx$_"));
} 1 .. 3;

sub
everywhere {
	my ($addr, $re) = @_;

	return !grep { $_->ask(client_address => $addr) !~ $re } @mx;
}

sub between { my ($v, $min, $max) = @_; return $v >= $min && $v <= $max }

sub
soon {
	my ($what, $addr, $re, $limit) = @_;
	my $start = time;

	ok(try_for(sub { everywhere($addr, $re) }, 5), $what);
	# A loaded machine is no reason to fail; the figure is in the log.
	note sprintf('%.1f ms', (time - $start) * 1000);
	return;
}

wait_for { !grep { !$_->ctl('status')->{store}{ready} } @mx } 10,
    'the stores to be ready';

# Four offences on each host: none sees the threshold of 10 by itself.
for my $round (1 .. 4) {
	$_->log_append(offence('192.0.2.1')) for @mx;
}
soon('an attacker who spreads over three hosts is refused on all of them',
    '192.0.2.1', qr/^REJECT/);
wait_for { ($redis->hash('mxwarden:score:192.0.2.1')->{score} // 0) == 12 } 5,
    'all to be applied';
is_deeply([map { $_->blocked('192.0.2.1') } @mx], [('reject') x 3],
    '... at the same level');
is_deeply([map { $_->score('192.0.2.1') } @mx], [12, 12, 12],
    '... with the same score');

# What can be read with redis-cli.
my $h = $redis->hash('mxwarden:score:192.0.2.1');
is($h->{score}, 12, 'HGETALL: score');
is($h->{'rule:test'}, 12, 'HGETALL: count of the rule');
is(scalar(grep { /\Asrc:[0-9a-f]{16}\z/ } keys %$h), 3,
    'HGETALL: an offset for each log');
cmp_ok(abs($h->{last} - time), '<', 60, 'HGETALL: last');
ok(between($redis->cli('TTL', 'mxwarden:score:192.0.2.1'), 590, 600),
    'TTL of the score: the window');
like($redis->cli('GET', 'mxwarden:block:192.0.2.1'),
    qr/\Areject score=[\d.]+ rule=test by=mx[123] since=[\d.]+ until=[\d.]+ strikes=0\z/,
    'GET of the block');
ok(between($redis->cli('TTL', 'mxwarden:block:192.0.2.1'), 3590, 3600),
    'TTL of the block: the time left');
is($redis->cli('GET', 'mxwarden:strikes:192.0.2.1'), 1, 'GET of the strikes');
like($redis->cli('XRANGE', 'mxwarden:events', '-', '+'),
    qr/what\nblock\naddr\n192\.0\.2\.1\nvalue\ndefer .*what\nraise\n/s,
    'XRANGE of the events');

# The lines that led to it, with the host that read them, are shown on every
# host, whoever decided.
sub
lines_of {
	my ($mx, $addr) = @_;

	return @{$mx->ctl('show', $addr)->{lines}};
}

for my $n (0 .. 2) {
	# The last host to block tells of its lines as soon as it knows.
	ok(try_for(sub { my %host = map { $_->{host} => 1 }
	    lines_of($mx[$n], '192.0.2.1'); keys %host == 3 }, 10),
	    "lines of all three hosts on mx@{[$n + 1]}");
}
my @lines = lines_of($mx[0], '192.0.2.1');
cmp_ok(scalar @lines, '>=', 6, 'each once, the last of them');
cmp_ok(scalar @lines, '<=', 10, '... at most ten');
is_deeply([sort map { $_->{time} } @lines], [map { $_->{time} } @lines],
    '... oldest first');
my ($remote) = grep { $_->{host} eq 'mx2' } @lines;
is($remote->{log}, $mx[1]->log, 'a line of another host: its log');
is($remote->{rule}, 'test', '... its rule');
is($remote->{weight}, 1, '... its weight');
like($remote->{text},
    qr{\Apostfix/smtpd\[\d+\]: bad client unknown\[192\.0\.2\.1\]\z},
    '... its text');
like($redis->cli('XRANGE', 'mxwarden:events', '-', '+'),
    qr/what\nlines\naddr\n192\.0\.2\.1\nhost\nmx\d\nline\nt=[\d.]+ weight=1 rule=test log=\S+ postfix\S+ bad client /,
    'XRANGE of them');

# What others write into the stream is not believed.
$redis->cmd('XADD', 'mxwarden:events', '*', @$_) for
    ['what', 'lines'], ['x', 'lines', 'y', '192.0.2.2'],
    ['what', 'lines', 'addr', '192.0.2.2', 'host', "m\e[2J", 'line',
	"t=1 weight=1 rule=r log=l \e]0;owned\a\xc2\x9b2J"],
    ['what', 'lines', 'addr', '192.0.2.2', 'host', 'mx9', 'line', 'junk',
	'line', 't=inf weight=1 rule=r log=l x', 'line', 'x' x 100_000],
    ['what', 'lines', 'addr', '192.0.2.2', 'host', 'mx9',
	map { ('line', "t=$_ weight=1 rule=r log=l x") } 1 .. 100];
my ($bad_status, $bad_out) = run_cmd(program('mxwarden'), '-s',
    $mx[0]->control, 'show', '192.0.2.2');
is($bad_status, 1, 'lines of strangers: not blocked');
unlike($bad_out, qr/[^\n -~]/, '... no control character of theirs');
cmp_ok(scalar(lines_of($mx[0], '192.0.2.2')), '<=', 10, '... not too many');

# By hand.
$redis->cli('SET', 'mxwarden:block:198.51.100.7', 'reject', 'EX', '60');
soon('SET blocks everywhere', '198.51.100.7', qr/^REJECT/);
$redis->cli('SET', 'mxwarden:block:198.51.100.7', 'defer', 'EX', '60');
soon('... another level', '198.51.100.7', qr/^DEFER/);
$redis->cli('DEL', 'mxwarden:block:198.51.100.7');
soon('DEL unblocks everywhere', '198.51.100.7', qr/^DUNNO/);
$redis->cli('SET', 'mxwarden:block:203.0.113.0/24', 'reject');
soon('a prefix, without TTL', '203.0.113.200', qr/^REJECT/);
is($mx[0]->ctl('show', '203.0.113.200')->{until}, 'never', '... for ever');
$redis->cli('SET', 'mxwarden:block:2001:db8:7::/48', 'defer', 'PX', '700');
soon('an IPv6 prefix', '2001:db8:7:1::25', qr/^DEFER/);
soon('... until its TTL ends', '2001:db8:7:1::25', qr/^DUNNO/);
$redis->cli('RENAME', 'mxwarden:block:203.0.113.0/24', 'elsewhere');
soon('RENAME is a DEL', '203.0.113.200', qr/^DUNNO/);

# Not blocks.
my @bad = ('mxwarden:block:nonsense' => 'reject',
	'mxwarden:block:192.0.2.999' => 'reject',
	'mxwarden:block:2001:DB8::1' => 'reject',
	'mxwarden:block:0.0.0.0/0' => 'reject',
	'mxwarden:block:192.0.2.77' => 'x=y',
	'mxwarden:block:192.0.2.78' => 'reject score=many',
	'mxwarden:block:192.0.2.79' => "reject\nrule=x",
	'mxwarden:block:192.0.2.80' => 'x' x 5000);
while (my ($key, $value) = splice @bad, 0, 2) {
	$redis->cmd('SET', $key, $value);
}
$redis->cmd('SADD', 'mxwarden:block:192.0.2.81', 'reject');
$redis->cmd('SADD', 'mxwarden:allow', 'nonsense');
$redis->cli('SET', 'mxwarden:block:192.0.2.90', 'reject', 'EX', '60');
soon('what is no block stops nothing', '192.0.2.90', qr/^REJECT/);
ok(everywhere("192.0.2.$_", qr/^DUNNO/), "192.0.2.$_ is not blocked")
    for 77 .. 81;
$_->wait_stderr(qr/key '.*' passed over/) for @mx;
cmp_ok($mx[0]->ctl('status')->{store}{errors}, '>=', 8, '... they are counted');

# The admin command, for all hosts.
$mx[1]->ctl('block', '192.0.2.33', '-l', 'reject', '-t', '5m', '-r', 'spam');
soon('block', '192.0.2.33', qr/^REJECT/);
like($redis->cli('GET', 'mxwarden:block:192.0.2.33'),
    qr/\Areject score=0 rule=spam by=mx2 /, '... is in Redis');
ok(between($redis->cli('TTL', 'mxwarden:block:192.0.2.33'), 295, 300),
    '... with its TTL');
$mx[2]->ctl('unblock', '192.0.2.33');
soon('unblock', '192.0.2.33', qr/^DUNNO/);
my ($status) = $mx[2]->ctl_full('unblock', '192.0.2.33');
is($status, 1, '... a second time: there is nothing');
$mx[0]->ctl('unblock', '192.0.2.1');
soon('unblock of a scored address', '192.0.2.1', qr/^DUNNO/);
is($redis->hash('mxwarden:score:192.0.2.1')->{score}, undef,
    '... its score is gone');
is($redis->cli('GET', 'mxwarden:strikes:192.0.2.1'), 1,
    '... its strikes are not');
is(scalar(keys %{$redis->hash('mxwarden:score:192.0.2.1')}), 3,
    '... nor the offsets');
$_->log_append(offence('192.0.2.1')) for @mx;
wait_for { ($redis->hash('mxwarden:score:192.0.2.1')->{score} // 0) == 3 } 5,
    'it to be scored anew';
pass('it is scored anew');
$mx[0]->ctl('forgive', '192.0.2.1');
is($redis->cli('EXISTS', 'mxwarden:strikes:192.0.2.1'), 0,
    'forgive: no strikes');
is($mx[1]->score('192.0.2.1') // 0, 0, '... no score');

$mx[0]->log_append(map { offence('192.0.2.50') } 1 .. 10);
soon('a block', '192.0.2.50', qr/^REJECT/);
$mx[1]->ctl('allow', 'add', '192.0.2.48/29');
soon('allow add: the allow list wins', '192.0.2.50', qr/^DUNNO/);
is($redis->cli('SISMEMBER', 'mxwarden:allow', '192.0.2.48/29'), 1,
    '... and is a set in Redis');
$redis->cli('SREM', 'mxwarden:allow', '192.0.2.48/29');
soon('SREM takes it away', '192.0.2.50', qr/^REJECT/);
$redis->cli('SADD', 'mxwarden:allow', '192.0.2.50');
soon('SADD allows', '192.0.2.50', qr/^DUNNO/);
$mx[2]->ctl('allow', 'del', '192.0.2.50');
soon('allow del', '192.0.2.50', qr/^REJECT/);

for my $n (1 .. 4) {
	$mx[0]->log_append(map { offence("192.0.2.10$n") } 1 .. $n);
}
wait_for { @{$mx[2]->ctl('top')} >= 5 } 5, 'scores to be listed';
is_deeply([map { "$_->{address} $_->{score}" } @{$mx[2]->ctl('top', '-n', 3)}],
    ['192.0.2.50 10', '192.0.2.104 4', '192.0.2.103 3'],
    'top: the highest of all hosts');
$redis->cli('SET', "mxwarden:block:10.1.$_.1", 'reject', 'EX', '600')
    for 1 .. 20;
soon('many', '10.1.20.1', qr/^REJECT/);
$mx[1]->ctl('unblock', '--all');
soon("unblock --all: 10.1.$_.1", "10.1.$_.1", qr/^DUNNO/) for 1, 20;
soon('unblock --all: 192.0.2.50', '192.0.2.50', qr/^DUNNO/);

# A daemon that starts later knows them all, the lines as well.
my @before = lines_of($mx[0], '192.0.2.1');
$mx[0]->stop;
$redis->cli('SET', 'mxwarden:block:10.9.9.9', 'reject', 'EX', '60');
$mx[0]->start;
soon('a block made while a daemon was down', '10.9.9.9', qr/^REJECT/);
is_deeply([lines_of($mx[0], '192.0.2.1')], \@before,
    'the lines outlast a restart');
$redis->cli('DEL', 'mxwarden:events');
my %own = map { $_->{host} => 1 } lines_of($mx[0], '192.0.2.1');
is_deeply([keys %own], ['mx1'], 'without the stream: those of this host');
$_->stop for @mx;
done_testing;
