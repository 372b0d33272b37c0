# What is shown on a terminal of 80 columns: nothing is wider, nothing drives
# the terminal, tables are aligned; with the longest IPv6 addresses, and with
# text of clients.
use strict;
use warnings;

use MxwardenTest;
use MxwardenTest::Pty;
use POSIX qw(strftime);
use Test::More;

skip_test('there are no pseudo-terminals')
    if !-e '/dev/ptmx' || !-d '/dev/pts';

my $d = MxwardenTest::Daemon->new(conf => {
	log => [['%LOG%', { rules => ['postfix'] }]],
	score => { window => '1d' },
});
my $long = '2001:dead:beef:cafe:1111:2222:3333:4444';
my $scope = '2001:dead:beef:cafe::/64';
my $pid = 100;

sub
offend {
	my ($addr, $text) = @_;

	$d->log_append(sprintf '%s mx postfix/smtpd[%d]: %s',
	    strftime('%Y-%m-%dT%H:%M:%S+00:00', gmtime), $pid++,
	    sprintf $text, $addr);
	return;
}

my $auth = 'warning: unknown[%s]: SASL LOGIN authentication failed: ' .
    'UGFzc3dvcmQ6, sasl_username=';
my @evil = ("\e[2J\e]0;owned\a", "\xc2\x9b2J\x9b1m\xff", "\r\nforged\t",
    "\xe2\x80\xaeright to left", 'x' x 300);

sub
screen {
	my ($what, @args) = @_;
	my $text = MxwardenTest::Pty->run(program('mxwarden'), @args);

	return check($what, $text);
}

sub
check {
	my ($what, $text) = @_;
	my @wide = grep { length > 80 } map { my $l = $_; utf8::decode($l); $l }
	    split /\n/, $text;

	is(scalar @wide, 0, "$what: at most 80 columns") or diag($_) for \@wide;
	unlike($text, qr/[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]/,
	    "$what: no control characters");
	unlike($text, qr/\xc2[\x80-\x9f]|\xff|\xe2\x80\xae/,
	    "$what: nor of the other kind");
	return $text;
}

# Everything long at once.
my @s = ('-s', $d->control);
my $watch = MxwardenTest::Pty->start(program('mxwarden'), @s, 'watch',
    '--offences');
wait_for { $d->ctl('status')->{control}{watchers} == 1 } 20, 'the watcher';
offend($long, "$auth$_") for @evil;
offend("2001:dead:beef:caf$_:1111:2222:3333:4444", "${auth}x")
    for map { ($_) x 3 } 0 .. 9;
offend('192.0.2.1', "${auth}x") for 1 .. 3;
wait_for { @{$d->ctl('list')} == 12 } 20, 'the blocks';
run_cmd(program('mxwarden'), @s, 'block', "$long/128", '-l', 'firewall', '-t',
    '30d', '-r', 'reason-' . 'r' x 200);
run_cmd(program('mxwarden'), @s, 'unblock', '192.0.2.1');
wait_for { $watch->text =~ /lifted/ } 20, 'the last event';
$watch->signal('INT');

my $list = screen('list', @s, 'list');
my @rows = split /\n/, $list;
like($rows[0], qr/\AADDRESS +LEVEL +(?:SCORE +)?UNTIL +RULE\z/, 'list: heading');
my $column = index $rows[0], 'LEVEL';
is(scalar(grep { substr($_, $column) !~ /\A(?:defer|reject|firewall) / ||
    substr($_, $column - 1, 1) ne ' ' } @rows[1 .. $#rows]), 0,
    'list: aligned') or diag($list);
like($list, qr/^\Q$long\E /m, 'list: the longest address is whole');

my $top = screen('top', @s, 'top');
@rows = split /\n/, $top;
like($rows[0], qr/\AADDRESS +SCORE +HITS /, 'top: heading');
my $end = index($rows[0], 'SCORE') + length 'SCORE';
is(scalar(grep { substr($_, 0, $end) !~ /\d\z/ || substr($_, $end, 2) ne '  ' }
    @rows[1 .. $#rows]), 0, 'top: aligned') or diag($top);
like($top, qr/^\Q$scope\E +10 /m, 'top: a /64');

my $refresh = MxwardenTest::Pty->start(program('mxwarden'), @s, 'top', '-i',
    '100ms');
wait_for { 3 <= (() = $refresh->text =~ /\e\[H\e\[2J/g) } 20, 'three screens';
$refresh->signal('INT');
(my $screens = $refresh->text) =~ s/\e\[H\e\[2J//g;
check('top -i', $screens);
unlike($screens, qr/\e/, 'top -i: nothing but clearing');
sub addresses { return join ' ', map { /^([0-9a-f.:\/]+) / } split /\n/, $_[0] }
is(addresses((split /^mxwarden top.*\n/m, $screens)[1]), addresses($top),
    'top -i: the same table, where all of it fits');

my $status = screen('status', @s, 'status');
is(scalar(grep { !/\A(?:\w+| {2}[\w]+ {2,}\S.*| {20}\S.*)\z/ } split /\n/,
    $status), 0, 'status: sections, names, values') or diag($status);

my $show = screen('show', @s, 'show', $long);
like($show, qr/^\Q$long\E is blocked at level firewall for\nanother 29d/m,
    'show: the block');
like($show, qr/^ {6}unknown\[\Q$long\E\]: SASL LOGIN/m,
    'show: folded between words');
like($show, qr/sasl_username=\?\[2J\?\]0;owned\?$/m,
    'show: what would drive a terminal does not');
like($show, qr/^To end it: +mxwarden unblock \Q$long\E$/m,
    'show: how to end it') or diag($show);

my $seen = check('watch', $watch->text =~ s/\e\[\d*m//gr);
like($watch->text, qr/^\e\[31m\d\d:\d\d:\d\d blocked \Q$scope\E +defer +\d+m postfix-auth-failed\e\[0m$/m,
    'watch: a block, in red') or diag($watch->text);
like($watch->text, qr/^\e\[33m\d\d:\d\d:\d\d offence \Q$long\E \+2 postfix-auth-failed\e\[0m$/m,
    'watch: an offence, in yellow');
like($watch->text, qr/^\e\[32m\d\d:\d\d:\d\d lifted  192\.0\.2\.1 +defer +postfix-auth-failed\e\[0m$/m,
    'watch: an end, in green');
unlike($seen, qr/\e/, 'watch: no other sequences');

my @c = ('-c', $d->conf_file);
my $replay = screen('replay', @c, 'replay', $d->log);
$replay =~ s/.*\e\[K//s; # the bar is on standard error
like($replay, qr/^\Q$scope\E +10 /m, 'replay: an offender');
my $decisions = screen('replay --decisions', @c, 'replay', '--decisions',
    $d->log);
like($decisions, qr/^\S+Z \Q$scope\E defer score=6\n {6}rule=postfix-auth-failed until=\S+Z$/m,
    'replay --decisions: folded between words') or diag($decisions);
my ($line) = grep { /\e\[2J/ } split /\n/, slurp($d->log);
screen('explain', @c, 'explain', $line);

# In a pipe nothing is folded or cut.
my (undef, $piped) = run_cmd(program('mxwarden'), @s, 'show', $long);
like($piped, qr/^ {6}postfix\S+: warning: unknown\[\Q$long\E\]: SASL LOGIN .*xxxxx\.\.\.$/m,
    'show in a pipe: one line for one line');
(undef, $piped) = run_cmd(program('mxwarden'), @c, 'replay', '--decisions',
    $d->log);
is(scalar(grep { !/\A\S+Z \S+ \w+ score=\S+ rule=\S+ until=\S+Z\z/ }
    split /\n/, $piped), 0, 'replay --decisions in a pipe: the same');
$d->stop;
done_testing;
