#!/usr/bin/perl
# The admin command and a daemon that it should not have met: one of another
# version, one that lies, one that stops in the middle.
use strict;
use warnings;

use IO::Socket::UNIX;
use JSON::PP ();
use MxwardenTest;
use POSIX ();
use Socket qw(SOCK_STREAM);
use Test::More;

my $mxwarden = program('mxwarden');
my $serial = 0;

# Runs mxwarden against a server that sends these pieces, one write each, and
# closes: before the request those up to an undef, the rest behind it. Returns
# what run_cmd() returns, and the request.
sub
against {
	my ($pieces, @args) = @_;
	my $path = tmp_dir() . '/s' . ++$serial;
	my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 1,
	    Type => SOCK_STREAM) or die "listen: $!";

	pipe my $r, my $w or die "pipe: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		my $s = $listener->accept or POSIX::_exit(1);
		my $request = '';

		close $r;
		for my $piece (@$pieces) {
			if (defined $piece) {
				syswrite $s, $piece;
			} else {
				$request = <$s> // '';
			}
		}
		syswrite $w, $request;
		close $s;
		POSIX::_exit(0);
	}
	close $w;
	close $listener;
	my @got = run_cmd($mxwarden, '-s', $path, @args);
	my $request = do { local $/; <$r> };
	waitpid $pid, 0;
	return (@got, $request);
}

my $hello = "mxwarden 1 0.1\n";

sub
fails {
	my ($name, $re, $pieces, @args) = @_;
	my ($status, $out, $err) = against($pieces, @args ? @args :
	    ('--json', 'list'));

	is($status, 2, "$name: exit status 2");
	like($err, $re, 'says why');
	unlike($err, qr/[^\n\x20-\x7e]/, 'in plain characters');
	return $out;
}

# What goes well, in the smallest of pieces.
my ($status, $out, $err, $request) = against([split(//, $hello), undef,
    split(//, "block\taddress=s192.0.2.1\tscore=n5\n" .
	"new\tthing=b1\nblock\taddress=s192.0.2.2\tscore=z\nok\n")],
    '--json', 'list', '-l', "a\tb\n");
is($status, 0, 'byte by byte') or diag($err);
is($request, "list\tlevel=sa\\x09b\\x0A\n", 'the request');
is_deeply(JSON::PP->new->decode($out), [
	{ address => '192.0.2.1', score => 5 },
	{ address => '192.0.2.2', score => undef } ],
    'records of kinds that it does not know are left out');
($status, $out) = against([$hello, undef,
	"daemon\tnew=o\tnew.a.b=n1\nlater\tx=s1\nok\n"], '--json', 'status');
is_deeply(JSON::PP->new->decode($out), { daemon => { new => { 'a.b' => 1 } },
	later => { x => '1' }, logs => [] },
    'status shows them, and fields that it does not know');
(undef, undef, undef, $request) = against([$hello, undef, "ok\n"], 'block',
    '192.0.2.1', '-l', 'x', '-t', '1m30s', '-r', 'a=b');
is($request, "block\taddress=s192.0.2.1\tlevel=sx\tduration=d90\treason=sa=b\n",
    'all arguments');
($status, $out, $err) = against([$hello, undef, "error\ttext=sno\\x1Bway\n"],
    'reload');
is($status, 2, 'an error');
like($err, qr/error: no\?way$/m, 'is shown, and harmless');
($status, $out) = against([$hello, undef, "no\ttext=snot\\x1B\\x0Aso\n"],
    'unblock', '192.0.2.1');
is($status, 1, 'a no');
unlike($out, qr/\e|\n./, 'is harmless, too');
($status, $out) = against([$hello, undef, "blocked\ttime=t0\taddress=s\\x1B\n"],
    'watch');
is($status, 2, 'watch: the daemon stops');
unlike($out, qr/\e/, 'watch: harmless');

# What does not.
fails('nothing', qr/closed the connection/, []);
fails('another program', qr/is not mxwardend's control socket/,
    ["HTTP/1.1 400 Bad Request\r\n"]);
fails('almost', qr/is not mxwardend's control socket/, ["mxwarden x 1\n"]);
fails('a newer protocol', qr/speaks another protocol/, ["mxwarden 2 9.9\n"]);
fails('a greeting without end', qr/too long/, ['x' x 70000]);
fails('closes after the greeting', qr/closed the connection/, [$hello, undef]);
fails('no last record', qr/closed the connection/,
    [$hello, undef, "block\taddress=s192.0.2.1\n"]);
fails('half a record', qr/closed the connection/,
    [$hello, undef, "block\taddress=s192.0.2.1\nok\ttext=s"]);
fails('a record without end', qr/too long/,
    [$hello, undef, 'block', ("\ta=sx" x 1000) x 20]);
for my $bad ("", "\tx=s", "block\tx", "block\tx=q", "block\tx=nnan",
    "block\tx=s\\", "block\tx=s\x01", "block" . "\tx=s" x 65) {
	fails('a bad record', qr/bad form/, [$hello, undef, "$bad\nok\n"]);
}
$out = fails('stops in the middle', qr/closed the connection/,
    [$hello, undef, "block\taddress=s192.0.2.1\tscore=n5\n"], '--json', 'list');
ok(!eval { JSON::PP->new->decode($out) }, 'half a list does not look whole');
done_testing;
