# Exim: a private instance with its own configuration, spool and logs.
#
#   new(main => "text", acl => "text", routers => "text",
#       transports => "text", authenticators => "text", start => 0)
#       main is appended to a minimal first part of the configuration, the
#       others are the sections of that name.
#
# The program: exim4 or exim in PATH, or what `./bootstrap deps test` has
# unpacked under MxwardenTest::Exim::DIR, for Debian's package and Postfix's
# exclude each other. Debian's has a user of its own compiled in; where that
# does not exist, the namespace gets a passwd and a group file with it. So it
# needs root and a namespace (Netns).
package MxwardenTest::Exim;

use strict;
use warnings;

use Carp qw(croak);

use constant DIR => '/usr/local/lib/mxwarden-test/exim4';

my $serial = 0;
my $checked;
my @version = qw(-C /dev/null -bV);

# The program's path; skips the test where there is none that runs.
sub
program {
	return $checked if $checked;
	my ($path) = grep { defined && -x } (map {
		MxwardenTest::have_program($_) } qw(exim4 exim)),
	    DIR . '/usr/sbin/exim4';

	MxwardenTest::skip_test('Exim is not installed') if !defined $path;
	my ($status, undef, $err) = MxwardenTest::run_cmd($path, @version);
	if ($err =~ /failed to find uid for user name "([\w-]+)"/) {
		_add_user($1);
		($status, undef, $err) = MxwardenTest::run_cmd($path, @version);
	}
	MxwardenTest::skip_test("$path does not run: $err") if $status != 0;
	return $checked = $path;
}

# A user for this namespace alone.
sub
_add_user {
	my ($user) = @_;
	my %line = (passwd => "$user:x:64999:64999::/nonexistent:/bin/false\n",
		group => "$user:x:64999:\n");

	for my $file (sort keys %line) {
		my $copy = MxwardenTest::tmp_dir() . "/$file";

		MxwardenTest::spew($copy, MxwardenTest::slurp("/etc/$file"),
		    $line{$file});
		chmod 0644, $copy;
		my ($status) = MxwardenTest::run_cmd('mount', '--bind', $copy,
			"/etc/$file");
		croak "mount $copy" if $status != 0;
		MxwardenTest::at_end(sub {
			MxwardenTest::run_cmd('umount', "/etc/$file")
		});
	}
	return;
}

sub
new {
	my ($class, %arg) = @_;
	my $exim = program();
	my $dir = MxwardenTest::tmp_dir() . '/x' . ++$serial;
	my (undef, $out, $err) = MxwardenTest::run_cmd($exim, '-C', '/dev/null',
		'-bP', 'exim_user');
	my ($user) = $out =~ /^exim_user = (\S+)/m or
	    croak "exim_user: $out$err";
	my $self = bless { exim => $exim, dir => $dir,
		port => MxwardenTest::free_port() }, $class;

	mkdir $_ or croak "mkdir $_: $!" for $dir, "$dir/spool", "$dir/log";
	my $uid = $user =~ /\A\d+\z/ ? $user : getpwnam $user;
	chown $uid, 0, "$dir/spool", "$dir/log";
	$self->write(%arg);
	$self->start if $arg{start} // 1;
	return $self;
}

sub port { return $_[0]{port} }
sub dir { return $_[0]{dir} }
sub conf_file { return "$_[0]{dir}/exim.conf" }
sub log { return "$_[0]{dir}/log/mainlog" }
sub log_text { return MxwardenTest::slurp($_[0]->log) // '' }

sub
write {
	my ($self, %arg) = @_;
	my $dir = $self->{dir};
	my %section = map { $_ => $arg{$_} // '' }
	    qw(main acl routers transports authenticators);

	MxwardenTest::spew($self->conf_file, <<"EOT");
exim_path = $self->{exim}
spool_directory = $dir/spool
log_file_path = $dir/log/%slog
primary_hostname = mx.example.com
daemon_smtp_ports = $self->{port}
local_interfaces = <; 0.0.0.0 ; ::0
tls_advertise_hosts =
rfc1413_hosts =
smtp_accept_max = 200
queue_only = true
keep_environment =
add_environment = PATH=/usr/bin:/bin
$section{main}

begin acl

$section{acl}

begin routers

$section{routers}

begin transports

$section{transports}

begin authenticators

$section{authenticators}
EOT
	return;
}

# `exim -C FILE ARGS`; (status, stdout, stderr).
sub
run {
	my ($self, @args) = @_;

	return MxwardenTest::run_cmd($self->{exim}, '-C', $self->conf_file,
		@args);
}

sub
start {
	my ($self) = @_;

	$self->{proc} = MxwardenTest::spawn(name => 'exim', cmd =>
		[$self->{exim}, '-C', $self->conf_file, '-bdf']);
	MxwardenTest::wait_for {
		croak 'Exim does not start: ' . $self->log_text .
		    $self->{proc}->tail if !$self->{proc}->alive;
		my $c = eval { MxwardenTest::Smtp->new(port => $self->{port}) };
		$c && $c->quit;
	} 20, 'Exim to greet';
	return;
}

sub
wait_log {
	my ($self, $re, $seconds) = @_;

	return MxwardenTest::wait_for { $self->log_text =~ $re }
	    $seconds // 30, "Exim to log $re";
}

# Is there a process for a connection?
sub
busy {
	my ($self) = @_;
	my $pid = $self->{proc}->pid;

	return scalar grep { (MxwardenTest::slurp($_) // '') =~
	    /\A\d+ \(.*\) [^Z] $pid / } glob '/proc/[0-9]*/stat';
}

# A killed daemon's status is not 0, and its children may still talk.
sub
stop {
	my ($self) = @_;

	$self->{proc}->stop;
	return;
}

1;
