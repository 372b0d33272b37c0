# Daemon: a running mxwardend with its own directory, log, socket and port.
#
#   new(conf => {...})    defaults below, overridden by the hash
#   new(text => '...')    a configuration as it is; %PORT% %DIR% %LOG% and
#                         %CONTROL% are replaced
#   start => 0            only write the configuration
package MxwardenTest::Daemon;

use strict;
use warnings;

use Carp qw(croak);
use IO::Socket::IP;
use IO::Socket::UNIX;
use JSON::PP ();
use Time::HiRes qw(time);

my $serial = 0;

sub
new {
	my ($class, %arg) = @_;
	my $dir = MxwardenTest::tmp_dir() . '/d' . ++$serial;
	my $self = bless { dir => $dir, args => $arg{args} // [],
		env => $arg{env} // {}, wrap => $arg{wrap} // [] }, $class;

	mkdir $dir or croak "mkdir $dir: $!";
	$self->{port} = $arg{port} // MxwardenTest::free_port();
	$self->{log} = $arg{log} // "$dir/mail.log";
	$self->{file} = "$dir/mxwarden.conf";
	$self->{control} = "$dir/control.sock";
	MxwardenTest::append($self->{log}, '') if !exists $arg{log};
	if (defined $arg{text}) {
		$self->write_text($arg{text});
	} else {
		$self->write_conf($arg{conf} // {});
	}
	$self->start if $arg{start} // 1;
	return $self;
}

sub dir { return $_[0]{dir} }
sub port { return $_[0]{port} }
sub log { return $_[0]{log} }
sub control { return $_[0]{control} }
sub conf_file { return $_[0]{file} }
sub proc { return $_[0]{proc} }
sub pid { return $_[0]{proc}->pid }

# The defaults of a test daemon, with the rules for Postfix; a key of `over` replaces the whole option.
sub
write_conf {
	my ($self, $over) = @_;
	my $dir = $self->{dir};
	my %conf = (
		listen => ["inet:127.0.0.1:$self->{port}"],
		control => $self->{control},
		http => '',
		user => '',
		state_dir => "$dir/state",
		log => [[$self->{log}, { rules => ['postfix'] }]],
		include => [MxwardenTest::src_dir() .
		    '/conf/rules.d/postfix.conf'],
		%$over,
	);

	mkdir "$dir/state";
	return $self->write_text(MxwardenTest::conf_text(\%conf));
}

sub
write_text {
	my ($self, $text) = @_;

	mkdir "$self->{dir}/state";
	$text =~ s/%PORT%/$self->{port}/g;
	$text =~ s/%DIR%/$self->{dir}/g;
	$text =~ s/%LOG%/$self->{log}/g;
	$text =~ s/%CONTROL%/$self->{control}/g;
	MxwardenTest::spew($self->{file}, $text);
	return;
}

# Starts it without waiting.
sub
launch {
	my ($self, @args) = @_;

	croak 'already running' if $self->{proc} && $self->{proc}->alive;
	$self->{proc} = MxwardenTest::spawn(name => 'mxwardend',
		env => $self->{env}, cmd => [@{$self->{wrap}},
		MxwardenTest::program('mxwardend'), '-f', '-c', $self->{file},
		@{$self->{args}}, @args]);
	return;
}

# Starts it and waits until it answers.
sub
start {
	my ($self, @args) = @_;

	$self->launch(@args);
	$self->wait_ready;
	return $self;
}

sub
wait_ready {
	my ($self) = @_;

	MxwardenTest::wait_for {
		croak "mxwardend does not start:\n" . $self->{proc}->tail
		    if !$self->{proc}->alive;
		# The file alone may be an old one, or not listened on yet.
		$self->connect &&
		    IO::Socket::UNIX->new(Peer => $self->{control});
	} 30, 'mxwardend to listen';
	return;
}

# A new policy connection, or nothing.
sub
connect {
	my ($self) = @_;

	return IO::Socket::IP->new(PeerHost => '127.0.0.1',
		PeerPort => $self->{port}, Timeout => 10);
}

# One request over a persistent connection; the action that is answered.
sub
ask {
	my ($self, @attrs) = @_;
	my %given = @attrs;
	my $text = "request=smtpd_access_policy\n";

	unshift @attrs, protocol_state => 'RCPT' if !$given{protocol_state};
	while (my ($name, $value) = splice @attrs, 0, 2) {
		$text .= "$name=$value\n";
	}
	my $reply = $self->ask_raw("$text\n");
	$reply =~ /\Aaction=([^\n]*)\n\n\z/ or croak "bad reply: '$reply'";
	return $1;
}

# Bytes out, bytes in up to the first empty line (or what came before EOF).
sub
ask_raw {
	my ($self, $request) = @_;
	my $s = $self->{conn} //= $self->connect // croak "connect: $!";
	my $reply = '';
	my $deadline = time + MxwardenTest::patience(60);

	print {$s} $request;
	$s->flush;
	while ($reply !~ /\n\n/) {
		vec(my $r = '', fileno $s, 1) = 1;
		my $left = $deadline - time;
		croak "no answer in time, got '$reply'"
		    if $left <= 0 || !select $r, undef, undef, $left;
		my $n = sysread $s, $reply, 4096, length $reply;
		if (!$n) {
			delete $self->{conn};
			last;
		}
	}
	return $reply;
}

sub disconnect { delete $_[0]{conn}; return }

# mxwarden --json: (exit status, decoded output or undef, stderr).
sub
ctl_full {
	my ($self, @args) = @_;
	my ($status, $out, $err) = MxwardenTest::run_cmd(
		MxwardenTest::program('mxwarden'), '-s', $self->{control},
		'--json', @args);
	my $data;

	if (length $out) {
		$data = eval { JSON::PP->new->allow_nonref->decode($out) };
		croak "mxwarden @args: not JSON ($@): $out" if $@;
	}
	return ($status, $data, $err);
}

# The decoded output; dies on exit status 2.
sub
ctl {
	my ($self, @args) = @_;
	my ($status, $data, $err) = $self->ctl_full(@args);

	croak "mxwarden @args: status $status: $err" if $status > 1;
	return $data;
}

# The level at which an address is blocked, or nothing.
sub
blocked {
	my ($self, $addr) = @_;
	my $info = $self->ctl('show', $addr);

	return if !$info || !$info->{blocked};
	return $info->{level};
}

sub
score {
	my ($self, $addr) = @_;
	my $info = $self->ctl('show', $addr);

	return $info ? $info->{score} // 0 : 0;
}

# Whole lines, each written at once.
sub
log_append {
	my ($self, @lines) = @_;

	MxwardenTest::append($self->{log}, join '', map { "$_\n" } @lines);
	return;
}

# Waits until all of the log has been read.
sub
wait_read {
	my ($self, $seconds) = @_;

	MxwardenTest::wait_for {
		my $status = $self->ctl('status');
		!grep { $_->{state} ne 'current' || $_->{behind} }
		    @{$status->{logs}};
	} $seconds // 30, 'the log to be read';
	return;
}

sub
wait_stderr {
	my ($self, $re, $seconds) = @_;

	return MxwardenTest::wait_for { $self->{proc}->stderr =~ $re }
	    $seconds // 10, "mxwardend to say $re";
}

sub signal { my ($self, $sig) = @_; return $self->{proc}->signal($sig) }

sub
kill9 {
	my ($self) = @_;

	$self->{proc}->kill9;
	$self->disconnect;
	return;
}

# SIGTERM; fails the test unless it exits with 0.
sub
stop {
	my ($self) = @_;
	my $status = $self->{proc}->stop;

	$self->disconnect;
	MxwardenTest::failure("mxwardend exited with $status",
	    $self->{proc}->tail) if defined $status && $status != 0;
	return;
}

sub
restart {
	my ($self) = @_;

	$self->stop;
	$self->start;
	return;
}

1;
