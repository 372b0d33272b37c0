# Backend "command": which programs are run, with which arguments, and when.
use strict;
use warnings;

use Test::More;

use MxwardenTest;
use MxwardenTest::Firewall;

MxwardenTest::Firewall->enter;
my $net = MxwardenTest::Firewall->new;
my $dir = tmp_dir();

# Notes its arguments, each in brackets. Fails for 203.0.113.66 and, if there
# is a file "broken", for all. Reads none of its input.
sub
tool {
	my ($name) = @_;

	spew("$dir/$name", <<"EOT");
#!/bin/sh
{ printf '%s' $name; for a in "\$@"; do printf ' [%s]' "\$a"; done; echo; } >>$dir/$name.log
case "\$*" in *203.0.113.66*) echo 'no such luck' >&2; exit 3 ;; esac
[ ! -e $dir/broken ]
EOT
	chmod 0755, "$dir/$name";
	return "$dir/$name";
}
tool($_) for qw(add del);

sub
calls {
	my ($name) = @_;
	my $text = slurp("$dir/$name.log") // '';

	return $text =~ s/^\w+ //gmr;
}

sub
wait_call {
	my ($name, $re, $seconds) = @_;

	wait_for { calls($name) =~ $re } $seconds // 10, "$name $re";
	return pass("$name $re");
}

# --- Without {ttl}: we delete --------------------------------------------------

my %fw = (backend => 'command', on_stop => 'keep', interval => '1s',
	add => ["$dir/add", 'family {family}', 'from={address}/x', '$(id)',
		"a 'quoted' \"word\"", ''],
	delete => ["$dir/del", '{family}', '{address}']);
my $d = MxwardenTest::Daemon->new(conf => { $net->conf(25, %fw) });
$net->wait_ready($d, 0);

sub
block {
	my ($what, $time) = @_;

	return $d->ctl('block', $what, '-l', 'firewall', '-t', $time);
}
block('192.0.2.1', '1h');
wait_call('add', qr{^\[family 4\] \[from=192\.0\.2\.1/x\] \[\$\(id\)\] \[a 'quoted' "word"\] \[\]$}m);
block('2001:db8:9::1', '1h');
wait_call('add', qr{^\[family 6\] \[from=2001:db8:9::/64/x\]}m);
block('203.0.113.0/24', '2s');
wait_call('add', qr{^\[family 4\] \[from=203\.0\.113\.0/24/x\]}m);
wait_call('del', qr{^\[4\] \[203\.0\.113\.0/24\]$}m);
is(calls('del'), "[4] [203.0.113.0/24]\n", 'deleted when its time is over');
block('192.0.2.1', '2h');
$d->ctl('unblock', '2001:db8:9::1');
wait_call('del', qr{^\[6\] \[2001:db8:9::/64\]$}m);
$net->wait_ready($d, 1);
is(scalar(() = calls('add') =~ /192\.0\.2\.1/g), 1,
	'another time is no other call');
block('198.51.100.1', '1h');
wait_for { $net->firewall_status($d)->{refused} >= 1 } 10,
    'our own address to be refused';
unlike(calls('add'), qr/198\.51\.100\.1\b/,
	'protected addresses never come to the program');
is(scalar(() = calls('add') =~ /^/mg), 3, 'no call too many');

# A program that fails: said, counted, tried again, and no harm to others.
block('203.0.113.66', '1h');
$d->wait_stderr(qr/add failed \(status 3\): no such luck/);
wait_for { $net->firewall_status($d)->{errors} } 10, 'the failure to count';
pass('a failure is counted');
like($net->firewall_status($d)->{error}, qr/not taken/, 'and shown');
block('192.0.2.2', '1h');
wait_call('add', qr/192\.0\.2\.2/);
$d->ctl('unblock', '203.0.113.66');
$net->wait_ready($d);
is($net->firewall_status($d)->{error}, undef, 'well again');
spew("$dir/broken", '');
block('192.0.2.3', '1h');
wait_for { $net->firewall_status($d)->{state} eq 'degraded' } 10, 'trouble';
is($d->ask(client_address => '192.0.2.200'), 'DUNNO', 'answers go on');
like($d->ask(client_address => '192.0.2.3'), qr/\A521 /,
	'what cannot be dropped is still refused');
unlink "$dir/broken";
wait_for {
	my $f = $net->firewall_status($d);
	$f->{state} eq 'ready' && $f->{entries} == 3;
} 20, 'recovery';
pass('and recovers by itself');
# A program that is gone.
rename "$dir/add", "$dir/add.away" or die;
block('192.0.2.4', '1h');
$d->wait_stderr(qr{\Q$dir\E/add: there is no such program});
is($d->ask(client_address => '192.0.2.200'), 'DUNNO', 'answers go on');
my ($status, undef, $err) = run_cmd(MxwardenTest::program('mxwardend'), '-t',
	'-c', $d->conf_file);
is($status, 2, 'mxwardend -t finds a missing program');
like($err, qr{'backend'.*\Q$dir\E/add, which is not installed}, 'names it');
($status, undef, $err) = run_cmd(MxwardenTest::program('mxwarden'), '-c',
	$d->conf_file, 'check');
is($status, 2, 'mxwarden check does');
like($err, qr{\Q$dir\E/add, which is not installed}, 'names it');
rename "$dir/add.away", "$dir/add" or die;
$net->wait_ready($d, 4);

# The end: nobody else would delete.
spew("$dir/del.log", '');
$d->stop;
wait_call('del', qr/\[192\.0\.2\.$_\]/) for 1 .. 4;
spew("$dir/add.log", '');
spew("$dir/del.log", '');
$d->start;
wait_call('add', qr/192\.0\.2\.$_\//) for 1 .. 4;
$net->wait_ready($d, 4);
my @kids = $net->children($d->pid);
$d->kill9;
wait_call('del', qr/\[192\.0\.2\.$_\]/) for 1 .. 4;
wait_for { !grep { (slurp("/proc/$_->{pid}/stat") // ' Z') !~ /\) Z| Z/ }
    @kids } 10, 'the helper to end';
pass('kill -9: what was added is deleted, and the helper ends');

# --- With {ttl}: the program knows --------------------------------------------

$d = MxwardenTest::Daemon->new(conf => { $net->conf(25, %fw,
	add => ["$dir/add", '{address}', 'timeout {ttl}s'],
	delete => ["$dir/del", '{address}'], on_stop => 'keep') });
$net->wait_ready($d, 0);
spew("$dir/add.log", '');
spew("$dir/del.log", '');
block('192.0.2.1', '1h');
wait_call('add', qr/^\[192\.0\.2\.1\] \[timeout 3600s\]$/m);
block('192.0.2.2', '1s');
wait_call('add', qr/^\[192\.0\.2\.2\] \[timeout [12]s\]$/m);
wait_for { $net->firewall_status($d)->{entries} == 1 } 20, 'it to be over';
is(calls('del'), '', 'the program ends it by itself');
block('192.0.2.1', '2h');
wait_call('add', qr/^\[192\.0\.2\.1\] \[timeout (?:7200|7199)s\]$/m);
is(calls('del'), "[192.0.2.1]\n", 'another time: deleted and added');
# A sync changes nothing that is right.
spew("$dir/add.log", '');
is(($d->ctl_full('firewall', 'repair'))[0], 0, 'repair');
is(calls('add'), '', 'a sync runs nothing when all is there');
spew("$dir/del.log", '');
$d->stop;
is(calls('del'), '', 'on_stop = keep');
$d->write_conf({ $net->conf(25, %fw, add => ["$dir/add", '{address}',
	'timeout {ttl}s'], on_stop => 'remove') });
$d->start;
$net->wait_ready($d, 1);
$d->stop;
like(calls('del'), qr/192\.0\.2\.1/, 'on_stop = remove');

# --- contrib/firewall/README --------------------------------------------------

my $readme = slurp(src_dir() . '/contrib/firewall/README');
my @examples = $readme =~ /^(    firewall \{\n.*?^    \}\n)/msg;
is(scalar(@examples), 3, 'examples');
for my $example (@examples) {
	my ($name) = $example =~ /add = \{"([^"]+)"/;
	my $fake = "$dir/$name";

	tool($name);
	# The program may not be installed here, and must not be run.
	$example =~ s/\{"\Q$name\E"/{"$fake"/g;
	my $e = MxwardenTest::Daemon->new(start => 0);
	my %base = $net->conf(25);
	delete $base{firewall};
	$e->write_conf({ %base });
	append($e->conf_file, $example);
	$e->start;
	$net->wait_ready($e, 0);
	$e->ctl('block', '2001:db8:9::/64', '-l', 'firewall', '-t', '1h');
	$e->ctl('block', '192.0.2.9', '-l', 'firewall', '-t', '1h');
	$net->wait_ready($e, 2);
	$e->ctl('unblock', '--all');
	$net->wait_ready($e, 0);
	my $calls = calls($name);
	like($calls, qr/192\.0\.2\.9/, "$name: IPv4");
	like($calls, qr{2001:db8:9::/64}, "$name: IPv6");
	is(scalar(() = $calls =~ /^/mg), 4, "$name: two added, two deleted");
	unlike($calls, qr/[{}]/, "$name: all is replaced");
	$e->stop;
}
done_testing;
