# Postfix: a private instance, with its own configuration, queue and log.
#
#   new(main => "text", master => "text")
#       main is appended to a minimal main.cf; master's services replace
#       %PORT% by the instance's port. The SMTP service itself is there.
#
# Needs root. Run it inside a namespace (Netns): ports and addresses are its.
package MxwardenTest::Postfix;

use strict;
use warnings;

use Carp qw(croak);

my $serial = 0;

sub
new {
	my ($class, %arg) = @_;
	my $dir = MxwardenTest::tmp_dir() . '/p' . ++$serial;
	my $self = bless { dir => $dir, serial => $serial,
		log => "$dir/mail.log",
		port => $arg{port} // MxwardenTest::free_port() }, $class;
	my ($uid, $gid) = (getpwnam 'postfix')[2, 3];

	croak 'no user postfix' if !defined $uid;
	mkdir $_ or croak "mkdir $_: $!" for $dir, "$dir/etc", "$dir/queue",
	    "$dir/data", "$dir/mail";
	chown $uid, $gid, "$dir/data";
	# Deliveries to maildirs run as nobody.
	chown 65534, 65534, "$dir/mail";
	$self->write(%arg);
	$self->start if $arg{start} // 1;
	return $self;
}

sub port { return $_[0]{port} }
sub dir { return $_[0]{dir} }
# The path of maillog_file, and what is in it.
sub log { return $_[0]{log} }
sub log_text { return MxwardenTest::slurp($_[0]{log}) // '' }
sub mail_dir { return "$_[0]{dir}/mail" }

sub
write {
	my ($self, %arg) = @_;
	my $dir = $self->{dir};
	my $main = <<"EOT" . ($arg{main} // '');
compatibility_level = 3.6
queue_directory = $dir/queue
data_directory = $dir/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = $self->{log}
maillog_file_prefixes = $dir
multi_instance_name = postfix-t$self->{serial}
multi_instance_enable = yes
syslog_name = postfix
alias_maps =
alias_database =
myhostname = mx.example.com
mydestination =
inet_interfaces = all
inet_protocols = all
smtputf8_enable = no
smtpd_tls_security_level = none
biff = no
EOT
	# No chroot: the programs' libraries are where they are installed.
	my $master = <<'EOT' . ($arg{master} // '');
%PORT% inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
EOT
	$master =~ s/%PORT%/$self->{port}/g;
	MxwardenTest::spew("$dir/etc/main.cf", $main);
	MxwardenTest::spew("$dir/etc/master.cf", $master);
	return;
}

# `postfix VERB`; its output. Dies when it fails.
sub
postfix {
	my ($self, @verb) = @_;
	my ($status, $out, $err) = MxwardenTest::run_cmd('postfix', '-c',
		"$self->{dir}/etc", @verb);

	croak "postfix @verb: status $status: $out$err\n" . $self->log_text
	    if $status != 0;
	return "$out$err";
}

# A parameter's value, as Postfix reads it.
sub
postconf {
	my ($self, @args) = @_;
	my ($status, $out, $err) = MxwardenTest::run_cmd('postconf', '-c',
		"$self->{dir}/etc", @args);

	croak "postconf @args: $err" if $status != 0;
	return ($out, $err);
}

sub
_master_pid {
	my ($self) = @_;
	my $text = MxwardenTest::slurp("$self->{dir}/queue/pid/master.pid");

	return defined $text && $text =~ /(\d+)/ ? $1 : undef;
}

sub
start {
	my ($self) = @_;

	$self->postfix('start');
	MxwardenTest::at_end(sub { $self->stop_quietly });
	$self->{started} = 1;
	$self->wait_port($self->{port});
	return;
}

# Waits until the port greets, and leaves politely: the log stays clean.
sub
wait_port {
	my ($self, $port) = @_;

	MxwardenTest::wait_for {
		my $c = eval { MxwardenTest::Smtp->new(port => $port) };
		$c && $c->quit;
	} 30, "Postfix to greet on port $port";
	return;
}

sub reload { $_[0]->postfix('reload'); return }

sub
wait_log {
	my ($self, $re, $seconds) = @_;

	return MxwardenTest::wait_for { $self->log_text =~ $re }
	    $seconds // 30, "Postfix to log $re";
}

sub
stop {
	my ($self) = @_;
	my $pid = $self->_master_pid;

	$self->postfix('stop');
	delete $self->{started};
	MxwardenTest::wait_for { !$pid || !kill 0, $pid } 20,
	    'Postfix to stop';
	return;
}

# Its master and everything the master started, when `postfix stop` fails.
sub
stop_quietly {
	my ($self) = @_;

	return if !delete $self->{started};
	my $pid = $self->_master_pid;
	return if eval { $self->stop; 1 };
	kill 'KILL', -$pid if $pid;
	return;
}

# The messages in a maildir under mail_dir: how many there are, or the files.
sub
delivered {
	my ($self, $maildir) = @_;
	my @files = glob "$self->{dir}/mail/$maildir/new/*";

	return @files;
}

1;
