# Dns: a DNS server that knows what the test tells it, and nothing else.
#
#   new(A => { 'host.example' => '192.0.2.1' },
#       PTR => { '198.51.100.7' => 'host.example' },
#       TXT => { 'host.example' => 'text' })
#
# UDP on 127.0.0.1:53, so it runs inside a namespace (Netns), whose resolv.conf
# names that address. A name that is known with another type gets an empty
# answer, any other NXDOMAIN; names below an entry of `broken` get SERVFAIL. The
# bytes of a name are as they are: DNS allows them all, and so may an attacker.
# In a PTR's name a backslash stands before a dot that ends no label.
package MxwardenTest::Dns;

use strict;
use warnings;

use Carp qw(croak);
use IO::Socket::IP;
use POSIX ();
use Socket qw(AF_INET6 SOCK_DGRAM inet_pton);

my %TYPE = (1 => 'A', 12 => 'PTR', 16 => 'TXT', 28 => 'AAAA');

sub
new {
	my ($class, %arg) = @_;
	my $self = bless { broken => $arg{broken} // [] }, $class;
	my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1',
		LocalPort => 53, Type => SOCK_DGRAM) or croak "port 53: $!";

	for my $type (values %TYPE) {
		my $table = $arg{$type} // {};
		for my $name (keys %$table) {
			my $key = $type eq 'PTR' ? _reverse($name) : lc $name;
			$self->{names}{$key}{$type} = $table->{$name};
		}
	}
	my $pid = fork // croak "fork: $!";
	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		eval { $self->_serve($socket) };
		POSIX::_exit(1);
	}
	$self->{pid} = $pid;
	MxwardenTest::at_end(sub { $self->stop });
	return $self;
}

sub stop { return MxwardenTest::kill_child($_[0]) }

# 192.0.2.1 -> 1.2.0.192.in-addr.arpa
sub
_reverse {
	my ($addr) = @_;

	return join('.', reverse split /\./, $addr) . '.in-addr.arpa'
	    if $addr !~ /:/;
	my $hex = unpack 'H*', inet_pton(AF_INET6, $addr) // croak $addr;
	return join('.', reverse split //, $hex) . '.ip6.arpa';
}

sub
_name {
	my ($name) = @_;
	my $wire = '';

	for my $label ($name =~ /((?:\\.|[^.])+)/gs) {
		$label =~ s/\\(.)/$1/gs;
		$wire .= pack 'C/a*', substr $label, 0, 63;
	}
	return "$wire\0";
}

sub
_rdata {
	my ($type, $value) = @_;

	return pack 'C4', split /\./, $value if $type eq 'A';
	return inet_pton(AF_INET6, $value) if $type eq 'AAAA';
	return _name($value) if $type eq 'PTR';
	return join '', map { pack 'C/a*', $_ } $value =~ /(.{1,255})/gs;
}

sub
_answer {
	my ($self, $query) = @_;
	my ($id, $flags, $questions) = unpack 'nnn', $query;
	my ($at, @labels) = (12);

	return if length $query < 17 || $questions != 1 || $flags & 0x8000;
	while ((my $n = unpack "\@$at C", $query) > 0) {
		return if $n > 63 || $at + $n + 6 > length $query;
		push @labels, substr $query, $at + 1, $n;
		$at += $n + 1;
	}
	my ($type) = unpack '@' . ($at + 1) . ' n', $query;
	my $question = substr $query, 12, $at + 5 - 12;
	my $name = lc join '.', @labels;
	my $known = $self->{names}{$name};
	my $value = $known ? $known->{$TYPE{$type} // ''} : undef;
	my $code = $known ? 0 : 3;

	$code = 2 if grep { $name =~ /(?:\A|\.)\Q$_\E\z/ } @{$self->{broken}};
	my $reply = pack('n6', $id, 0x8580 | $code, 1, defined $value, 0, 0) .
	    $question;
	$reply .= pack('n n n N n/a*', 0xc00c, $type, 1, 60,
	    _rdata($TYPE{$type}, $value)) if defined $value;
	return $reply;
}

sub
_serve {
	my ($self, $socket) = @_;

	for (;;) {
		my $from = recv $socket, my $query, 4096, 0;
		next if !defined $from;
		my $reply = eval { $self->_answer($query) };
		send $socket, $reply, 0, $from if defined $reply;
	}
	return;
}

1;
