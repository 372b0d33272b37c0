#!/usr/bin/perl
# The admin command with a daemon: every verb, as text and as JSON, what it says
# when asked wrongly, and its exit status.
use strict;
use warnings;

use IO::Socket::UNIX;
use JSON::PP ();
use MxwardenTest;
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(time);

my $iso = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z/;

# A rule for each weight, so that the log says what an address scores.
my %rules = map {
	("w$_" => { set => 'test', program => ['smtpd'], weight => $_,
		pattern => "^warning: {client}: w$_\\b" })
} 1, 4, 6, 11, 30;
my $d = MxwardenTest::Daemon->new(conf => {
	log => [['%LOG%', { rules => ['test'] }]],
	rule => [map { [$_, $rules{$_}] } sort keys %rules],
	allow => ['127.0.0.0/8', '::1', '198.51.100.200'],
});
my $mxwarden = MxwardenTest::program('mxwarden');
my $pid = 100;

# A line of the log about an offence of this weight.
sub
offend {
	my ($addr, $weight) = @_;
	my $now = strftime('%Y-%m-%dT%H:%M:%S+00:00', gmtime);

	$d->log_append(sprintf '%s mx postfix/smtpd[%d]: warning: ' .
	    'unknown[%s]: w%s', $now, $pid++, $addr, $weight);
	return;
}

# (status, stdout, stderr) of the plain command.
sub
ctl { return run_cmd($mxwarden, '-s', $d->control, @_) }

sub
ctl_ok {
	my ($name, @args) = @_;
	my ($status, $out, $err) = ctl(@args);

	is($status, 0, "$name: exit status 0") or diag($err);
	is($err, '', "$name: nothing on stderr");
	return $out;
}

sub
ctl_fails {
	my ($status, $re, @args) = @_;
	my ($got, $out, $err) = ctl(@args);

	is($got, $status, "@args: exit status $status");
	like($status == 2 ? $err : $out, $re, "@args: says why");
	is($out, '', "@args: nothing on stdout") if $status == 2;
	return;
}

# Nothing is known yet.
is(ctl_ok('list', 'list'), '', 'no blocks, no text');
is_deeply($d->ctl('list'), [], 'an empty array');
is_deeply($d->ctl('top'), [], 'no scores');

my $status = $d->ctl('status');
is($status->{daemon}{pid}, $d->pid, 'status: the daemon');
is(scalar @{$status->{logs}}, 1, 'status: its log');
is($status->{logs}[0]{path}, $d->log, 'status: which log');
is($status->{store}{name}, 'embedded', 'status: the store');
is($status->{policy}{requests}, 0, 'status: the policy server');
is($status->{control}{clients}, 1, 'status: the control server');
like($status->{daemon}{started}, qr/\A$iso\z/, 'times are RFC 3339');
my $text = ctl_ok('status', 'status');
like($text, qr/^daemon\n  version +\S+\n/m, 'status as text');
like($text, qr/^  started +$iso \((?:now|\d+s ago)\)\n/m, 'with times');

# Offences, a block, and what is shown of them.
my $six = '2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff';
my $scope = '2001:db8:aaaa:bbbb::/64';
offend('192.0.2.1', 1);
offend('192.0.2.2', 6);
offend($six, 4);
offend($six, 4);
offend($six, 4);
offend('198.51.100.200', 30);
wait_for { @{$d->ctl('list')} == 2 } 10, 'two blocks';

my ($block) = grep { $_->{address} eq $scope } @{$d->ctl('list')};
is_deeply([sort keys %$block],
    [sort qw(address level score rule since until by strikes)],
    'list: the fields');
is($block->{level}, 'reject', 'list: level');
is($block->{score}, 12, 'list: score');
is($block->{rule}, 'w4', 'list: rule');
like($block->{$_}, qr/\A$iso\z/, "list: $_") for qw(since until);
is_deeply([map { $_->{address} } @{$d->ctl('list', '--level', 'defer')}],
    ['192.0.2.2'], 'list --level');
is_deeply($d->ctl('list', '-l', 'nosuch'), [], 'list of another level');
$text = ctl_ok('list', 'list');
like($text, qr/\AADDRESS +LEVEL +SCORE +SINCE +UNTIL +RULE\n/,
    'list: a heading');
like($text, qr/^\Q$scope\E +reject +12 +(?:now|\d+s ago) +in (?:1h|\d+m) +w4$/m,
    'list: times are relative');
is(scalar(grep { length > 80 } split /\n/, $text), 0, 'list: 80 columns');

my $show = $d->ctl('show', $six);
is_deeply([sort keys %$show], [sort qw(address scope blocked allowed level
    score first last hits strikes rules rule since until by block lines)],
    'show: the fields');
is_deeply([sort keys %{$show->{lines}[0]}],
    [sort qw(time host log rule weight text)], 'show: the fields of a line');
is(scalar @{$show->{lines}}, 3, 'show: the lines');
is($show->{lines}[0]{log}, $d->log, '... of which log');
is($show->{lines}[0]{host}, $status->{daemon}{host}, '... read by which host');
is($show->{lines}[0]{weight}, 4, '... what it counted');
like($show->{lines}[$_]{time}, qr/\A$iso\z/, '... when') for 0 .. 2;
like($show->{lines}[$_]{text},
    qr{\Apostfix/smtpd\[\d+\]: warning: unknown\[\Q$six\E\]: w4\z},
    '... and the line itself') for 0 .. 2;
is($show->{address}, $six, 'show: the address');
is($show->{scope}, $scope, 'show: what it is scored under');
ok($show->{blocked}, 'show: blocked');
ok(!$show->{allowed}, 'show: not allowed');
is($show->{block}, $scope, 'show: by which entry');
is_deeply($show->{rules}, { w4 => 3 }, 'show: rules');
is($show->{hits}, 3, 'show: hits');
is($show->{score}, 12, 'show: score');
is($d->ctl('show', '192.0.2.1')->{score}, 1, 'show: a score, no block');
is($d->ctl('show', '192.0.2.99')->{score}, undef, 'show: nothing is known');
is_deeply($d->ctl('show', '192.0.2.99')->{rules}, {}, 'show: no rules');
ok($d->ctl('show', '198.51.100.200')->{allowed}, 'show: allow list');
like(ctl_ok('show', 'show', $six), qr/^  rules +w4=3$/m, 'show as text');
my $told = ctl_ok('show', 'show', $six);
like($told, qr/^\Q$scope\E is blocked at level \w+ for another \w+\.$/m,
    'show tells for how long');
like($told, qr/^Decided by \S+, because of w4; its score is 12 now\.$/m,
    '... why, and by whom');
like($told, qr/^To end it: +mxwarden unblock \Q$scope\E$/m, '... and how to end it');
like($told, qr/^Its last offences:\n  $iso \((?:now|\d+s ago)\)  w4 \+4  \S+:\Q${\$d->log}\E\n {6}postfix\S+: warning: unknown\[\Q$six\E\]: w4\n/m,
    '... the lines that led to it');
unlike((ctl('show', '192.0.2.1'))[1], qr/To end it/,
    '... not of one who is not blocked');
like((ctl('show', '192.0.2.1'))[1], qr/^Its last offences:\n/m,
    '... but his lines');
is_deeply($d->ctl('show', '192.0.2.99')->{lines}, [], 'show: no lines');

# Again and again, until interrupted.
for my $json ([], ['--json']) {
	my $top = spawn(name => 'top', oneshot => 1, cmd => [program('mxwarden'),
		'-s', $d->control, @$json, 'top', '-i', '100ms']);
	my $head = @$json ? qr/^\[/m : qr/^ADDRESS/m;

	wait_for { 3 <= (() = $top->stdout =~ /$head/g) }
	    20, 'three turns of top';
	unlike($top->stdout, qr/\e/, "top -i @$json: plain where there is no terminal");
	$top->{stopped} = 1;
	$top->signal('INT');
	is($top->wait(10), 128 + 2, '... until interrupted');
}
ctl_fails(2, qr/is not an interval/, 'top', '-i', $_) for qw(0 x 0.01 1e99 nan);
ctl_fails(1, qr/^  blocked +no$/m, 'show', '192.0.2.1');
is(($d->ctl_full('show', '192.0.2.1'))[0], 1, 'show --json: the same status');
ctl_fails(2, qr/'example.com' is not an IP address/, 'show', 'example.com');

my $top = $d->ctl('top');
is_deeply([map { $_->{address} } @$top], [$scope, '192.0.2.2', '192.0.2.1'],
    'top: in order');
is_deeply([sort keys %{$top->[0]}],
    [sort qw(address score first last hits strikes rules)], 'top: the fields');
is(scalar @{$d->ctl('top', '-n', 1)}, 1, 'top -n');
like(ctl_ok('top', 'top', '-n2'), qr/\AADDRESS.*\n\Q$scope\E +12 .*w4\n/,
    'top as text');
ctl_fails(2, qr/1 to 1000/, 'top', '-n', 0);
ctl_fails(2, qr/not a number/, 'top', '-n', '1x');

# ask
my $endpoint = 'inet:127.0.0.1:' . $d->port;
is(ctl_ok('ask', 'ask', $endpoint, 'client_address=192.0.2.99'), "DUNNO\n",
    'ask: DUNNO');
like(ctl_ok('ask', 'ask', $endpoint, "client_address=$six",
    'sender=a=b@example.com'), qr/\AREJECT 5\.7\.1 .* \[mxw\]\n\z/,
    'ask: REJECT');
like($d->ctl('ask', $endpoint, 'client_address=192.0.2.2')->{action},
    qr/\ADEFER 4\.7\.1 /, 'ask --json');
is(ctl_ok('ask', 'ask', $endpoint, 'protocol_state=CONNECT',
    'request=smtpd_access_policy', 'client_address=192.0.2.99'), "DUNNO\n",
    'ask: what is given is not added');
ctl_fails(2, qr/closed the connection without an answer/, 'ask', $endpoint,
    'request=junk');
ctl_fails(2, qr/Connection refused/, 'ask', 'inet:127.0.0.1:' . free_port(),
    'a=b');
ctl_fails(2, qr/'junk' is not name=value/, 'ask', $endpoint, 'junk');
ctl_fails(2, qr/is not name=value/, 'ask', $endpoint, "a=b\nc=d");
ctl_fails(2, qr/neither inet:ADDRESS:PORT nor/, 'ask', 'nonsense', 'a=b');

# block
like(ctl_ok('block', 'block', '203.0.113.5'),
    qr/\A203\.0\.113\.5 is blocked at level reject for 1h\n\z/, 'block');
is($d->blocked('203.0.113.5'), 'reject', 'it is');
my $answer = $d->ctl('block', '203.0.113.5', '-l', 'defer', '-t', '90s', '-r',
    'too much');
is($answer->{result}, 'ok', 'block --json');
$show = $d->ctl('show', '203.0.113.5');
is($show->{level}, 'defer', 'block -l');
is($show->{rule}, 'too_much', 'block -r');
like(ctl_ok('list', 'list'), qr/^203\.0\.113\.5 +defer .* in (?:90|8\d)s +too_much$/m,
    'block -t');
$d->ctl('block', '2001:db8:1:2::5');
is($d->ctl('show', '2001:db8:1:2::9')->{block}, '2001:db8:1:2::/64',
    'an IPv6 address stands for its /64');
$d->ctl('block', '2001:db8:1:3::5/128');
is($d->blocked('2001:db8:1:3::9'), undef, 'with its length, for itself');
is($d->ask(client_address => '2001:db8:1:3::9'), 'DUNNO', 'asked, too');
$d->ctl('block', '10.0.0.0/8', '--level=firewall', '--time=1m');
is($d->blocked('10.255.0.1'), 'firewall', 'a prefix');
ctl_fails(2, qr/too wide/, 'block', '0.0.0.0/0');
ctl_fails(2, qr/allow list/, 'block', '198.51.100.200');
ctl_fails(2, qr/allow list/, 'block', '::1');
ctl_fails(2, qr/no level 'x' is configured/, 'block', '192.0.2.3', '-l', 'x');
ctl_fails(2, qr/'10' is not a duration/, 'block', '192.0.2.3', '-t', '10');
ctl_fails(2, qr/more than 0/, 'block', '192.0.2.3', '-t', '0');
ctl_fails(2, qr/not an IP address/, 'block', '192.0.2.0/33');
is($d->blocked('192.0.2.3'), undef, 'none of these blocks');

# unblock, forgive
like(ctl_ok('unblock', 'unblock', $six), qr/\A\Q$scope\E is unblocked\n\z/,
    'unblock');
is($d->blocked($six), undef, 'it is');
is($d->score($six), 0, 'and its score is gone');
is($d->ctl('show', $six)->{strikes}, 1, 'strikes stay');
like(ctl_ok('forgive', 'forgive', $six), qr/forgotten/, 'forgive');
is($d->ctl('show', $six)->{strikes}, undef, 'strikes are gone');
ctl_fails(1, qr/nothing is known about/, 'forgive', $six);
ctl_fails(1, qr/is not blocked/, 'unblock', $six);
ctl_fails(1, qr/but 10\.0\.0\.0\/8 is, which holds it/, 'unblock', '10.1.2.3');

# Blocks that overlap: the strictest level holds, in the answer and in what show
# says, whichever is the narrower one.
ctl_ok('block', 'block', '10.1.2.3', '--level=defer', '--time=1h');
like($d->ask(client_address => '10.1.2.3'), qr/\A521 /,
    'a host inside a network that is blocked at a higher level');
is($d->ctl('show', '10.1.2.3')->{level}, 'firewall', 'show says so');
is($d->ctl('show', '10.1.2.3')->{block}, '10.0.0.0/8', '... and why');
is_deeply([sort map { "$_->{address} $_->{level}" }
    grep { $_->{address} =~ /^10\./ } @{$d->ctl('list')}],
    ['10.0.0.0/8 firewall', '10.1.2.3 defer'], 'list shows both');
like(ctl_ok('unblock', 'unblock', '10.1.2.3'),
    qr/\A10\.1\.2\.3 is unblocked, but 10\.0\.0\.0\/8 is not, which holds it/,
    'one of two is lifted');
ctl_ok('block', 'block', '10.1.2.3', '--level=defer', '--time=1h');
ctl_ok('unblock', 'unblock', '10.0.0.0/8');
like($d->ask(client_address => '10.1.2.3'), qr/\ADEFER /,
    'the weaker one holds when the other is lifted');
ctl_ok('block', 'block', '10.1.0.0/16', '--level=reject', '--time=1h');
is($d->blocked('10.1.2.3'), 'reject', 'a network blocked afterwards');
ctl_ok('unblock', 'unblock', '10.1.0.0/16');
like(ctl_ok('unblock', 'unblock', '10.1.2.3'), qr/is unblocked\n\z/,
    'and the last one');
is($d->ask(client_address => '10.1.2.3'), 'DUNNO', 'nothing holds it');

ctl_ok('unblock', 'unblock', '2001:db8:1:3::5');
ctl_fails(2, qr/give an address, or --all/, 'unblock');
ctl_fails(2, qr/give an address, or --all/, 'unblock', '--all', '192.0.2.1');
my ($code, $data) = $d->ctl_full('unblock', '192.0.2.99');
is($code, 1, 'unblock --json: no');
is($data->{result}, 'no', 'says so');
like(ctl_ok('unblock --all', 'unblock', '--all'), qr/\Aall blocks are lifted/,
    'unblock --all');
is_deeply($d->ctl('list'), [], 'all are');
ctl_fails(1, qr/nothing is blocked/, 'unblock', '--all');

# allow
ctl_ok('allow add', 'allow', 'add', '192.0.2.0/24');
ctl_ok('allow add', 'allow', 'add', '2001:db8::1');
is_deeply($d->ctl('allow', 'list'), [
	{ address => '127.0.0.0/8', source => 'configuration' },
	{ address => '::1', source => 'configuration' },
	{ address => '198.51.100.200', source => 'configuration' },
	{ address => '192.0.2.0/24', source => 'shared' },
	{ address => '2001:db8::1', source => 'shared' },
], 'allow list');
like(ctl_ok('allow list', 'allow', 'list'),
    qr/\AADDRESS +SOURCE\n.*^192\.0\.2\.0\/24 +shared$/ms, 'as text');
ok($d->ctl('show', '192.0.2.77')->{allowed}, 'a client of it is allowed');
ctl_fails(2, qr/allow list/, 'block', '192.0.2.77');
ctl_ok('allow del', 'allow', 'del', '192.0.2.0/24');
ctl_fails(1, qr/not on the shared allow list/, 'allow', 'del', '192.0.2.0/24');
ctl_fails(1, qr/configuration's allow list/, 'allow', 'del', '::1');
ctl_fails(2, qr/'allow list'/, 'allow', 'frob');
ctl_fails(2, qr/'allow list'/, 'allow', 'add');
ctl_fails(2, qr/not an IP address/, 'allow', 'add', 'x');

# watch
sub
watchers { return $d->ctl('status')->{control}{watchers} }

my $plain = spawn(name => 'watch', cmd => [$mxwarden, '-s', $d->control,
    'watch']);
my $json = spawn(name => 'watch', cmd => [$mxwarden, '-s', $d->control,
    '--json', 'watch', '--offences']);
wait_for { watchers() == 2 } 10, 'two watchers';
offend('192.0.2.50', 6);
wait_for { $d->blocked('192.0.2.50') } 10, 'the block';
$d->ctl('unblock', '192.0.2.50');
wait_for { $json->stdout =~ /unblocked/ } 10, 'the events';
my @events = map { JSON::PP->new->decode($_) } split /\n/, $json->stdout;
is_deeply([map { $_->{event} } @events], [qw(offence blocked unblocked)],
    'watch --json --offences: one object per line');
is($_->{address}, '192.0.2.50', "$_->{event}: address") for @events;
like($_->{time}, qr/\A$iso\z/, "$_->{event}: time") for @events;
is($events[0]{rule}, 'w6', 'an offence and its rule');
is($events[1]{why}, 'decided', 'why it is blocked');
is($events[2]{why}, 'manual', 'and why no more');
wait_for { $plain->stdout =~ /unblocked/ } 10, 'the events';
my @lines = split /\n/, $plain->stdout;
is(scalar @lines, 2, 'watch: a line for each event, without offences');
like($lines[0], qr/\A$iso blocked 192\.0\.2\.50 why=decided level=defer /,
    'watch: a block');
like($lines[1], qr/\A$iso unblocked 192\.0\.2\.50 why=manual /,
    'watch: its end');
$plain->stop;
wait_for { watchers() == 1 } 10, 'the daemon to notice';
$json->stop;
wait_for { watchers() == 0 } 10, 'the daemon to notice';

# reload
like(ctl_ok('reload', 'reload'), qr/reloaded/, 'reload');
my $good = slurp($d->conf_file);
spew($d->conf_file, "listen = {\"nonsense\"}\n");
ctl_fails(2, qr/not reloaded: .*mxwarden\.conf:1: /, 'reload');
spew($d->conf_file, $good);
ctl_ok('reload', 'reload');

# Many blocks: a stream, and no one waits for it.
my $n = 3000;
for my $i (1 .. $n) {
	my $now = strftime('%Y-%m-%dT%H:%M:%S+00:00', gmtime);
	my $addr = sprintf '203.0.%d.%d', 113 + ($i >> 8), $i & 255;

	append($d->log, "$now mx postfix/smtpd[1]: warning: " .
	    "unknown[$addr]: w11\n");
}
wait_for { $d->ctl('status')->{daemon}{blocked} >= $n } 30, 'many blocks';
my %seen = map { $_->{address} => 1 } @{$d->ctl('list')};
is(scalar keys %seen, $n, 'list: all of them, each once');
my $slow = IO::Socket::UNIX->new(Peer => $d->control) or die "connect: $!";
print {$slow} "list\n";
$slow->flush;
is($d->ask(client_address => '192.0.2.99'), 'DUNNO',
    'a client that does not read holds nobody up');
is($d->ctl('status')->{control}{clients}, 2, 'it is still there');
close $slow;
wait_for { $d->ctl('status')->{control}{clients} == 1 } 10, 'it to be gone';

# Without reading the configuration the socket is known by -s only.
($code, undef, my $err) = run_cmd($mxwarden, '-c', $d->conf_file, 'unblock',
    '--all');
is($code, 0, 'the socket of the configuration') or diag($err);

$d->stop;
ctl_fails(2, qr/cannot reach mxwardend at \Q${\$d->control}\E: No such file or directory: is it running\?/,
    'list');
done_testing;
