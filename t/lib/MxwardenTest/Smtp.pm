# Smtp: a client that says exactly what the test wants to say.
#
#   my $c = MxwardenTest::Smtp->new(port => 2525, from => '198.51.100.7');
#   $c->ehlo('client.example');
#   my $reply = $c->cmd('RCPT TO:<a@example.com>');     # "550 5.1.1 ..."
#
# A reply is its last line's code and the texts of all lines, joined by
# newlines; '' when the server has closed the connection.
package MxwardenTest::Smtp;

use strict;
use warnings;

use Carp qw(croak);
use Digest::MD5 qw(md5 md5_hex);
use IO::Socket::IP;
use MIME::Base64 qw(decode_base64 encode_base64);
use Time::HiRes qw(time);

# host, port: the server; from: our own address; greet => 0: do not read the
# greeting.
sub
new {
	my ($class, %arg) = @_;
	my $host = $arg{host} // '127.0.0.1';
	my $s = IO::Socket::IP->new(PeerHost => $host, PeerPort => $arg{port},
		Timeout => 20, (defined $arg{from} ?
		    (LocalHost => $arg{from}) : ())) or
	    croak "connect to $host port $arg{port}: $!";
	my $self = bless { s => $s, in => '', seconds => $arg{seconds} // 60 },
	    $class;

	$self->{greeting} = $self->reply if $arg{greet} // 1;
	return $self;
}

sub greeting { return $_[0]{greeting} }

sub
reply {
	my ($self) = @_;
	my $deadline = time + $self->{seconds};
	my @text;

	for (;;) {
		while ($self->{in} =~ s/\A([^\n]*)\n//) {
			my $line = $1;
			$line =~ s/\r\z//;
			my ($code, $more, $text) =
			    $line =~ /\A(\d{3})([ -])(.*)\z/s or
			    croak "not a reply: '$line'";
			push @text, $text;
			return $self->{last} = "$code " . join "\n", @text
			    if $more eq ' ';
		}
		vec(my $r = '', fileno $self->{s}, 1) = 1;
		my $left = $deadline - time;
		croak "no reply from the server in $self->{seconds}s"
		    if $left <= 0 || !select $r, undef, undef, $left;
		my $n = sysread $self->{s}, $self->{in}, 4096,
		    length $self->{in};
		if (!$n) {
			$self->{closed} = 1;
			return $self->{last} = '';
		}
	}
}

# Bytes as they are, without waiting for a reply.
sub
raw {
	my ($self, $bytes) = @_;

	print {$self->{s}} $bytes;
	$self->{s}->flush;
	return;
}

sub
cmd {
	my ($self, $line) = @_;

	$self->raw("$line\r\n");
	return $self->reply;
}

# Has the server hung up? Waits for it a little.
sub
hung_up {
	my ($self, $seconds) = @_;

	return 1 if $self->{closed};
	vec(my $r = '', fileno $self->{s}, 1) = 1;
	return 0 if !select $r, undef, undef, $seconds // 10;
	return !sysread $self->{s}, $self->{in}, 4096, length $self->{in};
}

sub
close {
	my ($self) = @_;

	close $self->{s};
	return;
}

sub ehlo { return $_[0]->cmd('EHLO ' . ($_[1] // 'client.example')) }
sub helo { return $_[0]->cmd('HELO ' . ($_[1] // 'client.example')) }
sub mail { return $_[0]->cmd("MAIL FROM:<$_[1]>") }
sub rcpt { return $_[0]->cmd("RCPT TO:<$_[1]>") }

sub
quit {
	my ($self) = @_;
	my $reply = $self->cmd('QUIT');

	$self->close;
	return $reply;
}

# The content, with dots doubled.
sub
data {
	my ($self, $text) = @_;
	my $reply = $self->cmd('DATA');

	return $reply if $reply !~ /\A354/;
	$text =~ s/^\./../mg;
	$text =~ s/\r?\n/\r\n/g;
	return $self->cmd("$text\r\n.");
}

# A whole message; the first reply that is not a success, or DATA's.
sub
send_mail {
	my ($self, $from, $to, $text) = @_;
	my $reply = $self->mail($from);

	return $reply if $reply !~ /\A2/;
	$reply = $self->rcpt($to);
	return $reply if $reply !~ /\A2/;
	return $self->data($text // "Subject: test\n\ntest\n");
}

sub
auth_plain {
	my ($self, $user, $password) = @_;

	return $self->cmd('AUTH PLAIN ' .
	    encode_base64("\0$user\0$password", ''));
}

sub
auth_login {
	my ($self, $user, $password) = @_;
	my $reply = $self->cmd('AUTH LOGIN');

	return $reply if $reply !~ /\A334/;
	$reply = $self->cmd(encode_base64($user, ''));
	return $reply if $reply !~ /\A334/;
	return $self->cmd(encode_base64($password, ''));
}

# RFC 2104 with MD5.
sub
_hmac_md5 {
	my ($text, $key) = @_;

	$key = md5($key) if length $key > 64;
	$key .= "\0" x (64 - length $key);
	return md5_hex(($key ^ "\x5c" x 64) . md5(($key ^ "\x36" x 64) .
	    $text));
}

sub
auth_cram_md5 {
	my ($self, $user, $password) = @_;
	my $reply = $self->cmd('AUTH CRAM-MD5');

	my ($challenge) = $reply =~ /\A334 (.*)/ or return $reply;
	return $self->cmd(encode_base64("$user " .
	    _hmac_md5(decode_base64($challenge), $password), ''));
}

1;
