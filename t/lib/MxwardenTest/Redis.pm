# Redis: a private redis-server, on a port and a unix socket of its own, with
# nothing but what the test stores in it.
#
#   new(aof => 1, args => [...], port => N, start => 0)
package MxwardenTest::Redis;

use strict;
use warnings;

use Carp qw(croak);
use IO::Socket::IP;
use IO::Socket::UNIX;

my $serial = 0;

sub
new {
	my ($class, %arg) = @_;
	my $dir = MxwardenTest::tmp_dir() . '/r' . ++$serial;
	my $self = bless { dir => $dir, aof => $arg{aof},
		args => $arg{args} // [], password => $arg{password},
		port => $arg{port} // MxwardenTest::free_port() }, $class;

	mkdir $dir or croak "mkdir $dir: $!";
	$self->{socket} = "$dir/redis.sock";
	$self->start if $arg{start} // 1;
	return $self;
}

sub port { return $_[0]{port} }
sub dir { return $_[0]{dir} }
sub socket { return $_[0]{socket} }
sub proc { return $_[0]{proc} }
sub url { return "redis://127.0.0.1:$_[0]{port}/0" }

sub
launch {
	my ($self) = @_;
	my $server = MxwardenTest::have_program('redis-server') //
	    MxwardenTest::have_program('valkey-server') //
	    croak 'redis-server is not installed';

	$self->{proc} = MxwardenTest::spawn(name => 'redis-server', cmd => [
		$server, '--port', $self->{port}, '--bind', '127.0.0.1',
		'--unixsocket', $self->{socket}, '--dir', $self->{dir},
		'--save', '', '--appendonly', $self->{aof} ? 'yes' : 'no',
		'--appendfsync', 'always', '--daemonize', 'no',
		'--protected-mode', 'no',
		(defined $self->{password} ?
		    ('--requirepass', $self->{password}) : ()),
		@{$self->{args}}]);
	return;
}

sub
start {
	my ($self) = @_;

	$self->launch;
	MxwardenTest::wait_for {
		croak "redis-server does not start:\n" . $self->{proc}->tail
		    if !$self->{proc}->alive;
		(eval { $self->cmd('PING') } // '') eq 'PONG';
	} 20, 'redis-server to answer';
	return $self;
}

# redis-cli, as a user would run it: its output without the last newline.
sub
cli {
	my ($self, @args) = @_;
	my ($status, $out, $err) = MxwardenTest::run_cmd('redis-cli', '-p',
		$self->{port}, (defined $self->{password} ?
		    ('--no-auth-warning', '-a', $self->{password}) : ()),
		@args);

	croak "redis-cli @args: $err$out" if $status != 0;
	chomp $out;
	return $out;
}

# One command over a connection that is kept; the reply as Perl data: strings,
# numbers, undef, array references. An error reply dies.
sub
cmd {
	my ($self, @args) = @_;
	my $s = $self->{conn};

	if (!$s) {
		$s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
			PeerPort => $self->{port}, Timeout => 60) //
		    croak "connect to redis: $!";
		$self->{conn} = $s;
		$self->cmd('AUTH', $self->{password})
		    if defined $self->{password};
	}
	print {$s} '*', scalar @args, "\r\n",
	    map { '$' . length($_) . "\r\n$_\r\n" } @args;
	$s->flush;
	return $self->_reply($s);
}

sub
_reply {
	my ($self, $s) = @_;
	my $line;

	eval {
		local $SIG{ALRM} = sub { die "no reply in time\n" };
		alarm 60;
		$line = <$s>;
		alarm 0;
		1;
	} or do { delete $self->{conn}; croak "redis: $@" };
	if (!defined $line) {
		delete $self->{conn};
		croak 'redis: connection lost';
	}
	$line =~ s/\r\n\z//;
	my ($type, $rest) = $line =~ /\A(.)(.*)\z/s;
	return $rest if $type eq '+' || $type eq ':';
	croak "redis: $rest" if $type eq '-';
	return if $rest < 0;
	return [map { scalar $self->_reply($s) } 1 .. $rest] if $type eq '*';
	read $s, my $data, $rest + 2;
	return substr $data, 0, $rest;
}

# A hash as a Perl hash.
sub
hash {
	my ($self, $key) = @_;

	return { @{$self->cmd('HGETALL', $key)} };
}

sub
keys {
	my ($self, $pattern) = @_;

	return sort @{$self->cmd('KEYS', $pattern)};
}

sub signal { my ($self, $sig) = @_; return $self->{proc}->signal($sig) }

# Hangs, as a machine without air does: connections stay, nobody answers.
sub stop_signal { $_[0]->signal('STOP'); return }
sub cont { $_[0]->signal('CONT'); return }

sub
kill9 {
	my ($self) = @_;

	delete $self->{conn};
	$self->{proc}->kill9;
	return;
}

sub
stop {
	my ($self) = @_;

	delete $self->{conn};
	$self->{proc}->stop;
	return;
}

1;
