# Dovecot: its authentication service alone, for Postfix's SASL, or with logins.
package MxwardenTest::Dovecot;

use strict;
use warnings;

use Carp qw(croak);
use IO::Socket::UNIX;

my $serial = 0;

# new(users => { name => password },
#     logins => ['imap', 'pop3', 'submission', 'sieve'],    # see port()
#     syslog => 1,                      # log there (Syslog) instead of to a file
#     conf => "text")                   # appended
sub
new {
	my ($class, %arg) = @_;
	my $dir = MxwardenTest::tmp_dir() . '/a' . ++$serial;
	my $self = bless { dir => $dir, socket => "$dir/auth" }, $class;
	my ($status, $version) = MxwardenTest::run_cmd('dovecot', '--version');

	MxwardenTest::skip_test("Dovecot 2.3 is needed, this is $version")
	    if $version !~ /\A2\.3\./;
	my $services = '';
	for my $name (@{$arg{logins} // []}) {
		my $login = $name eq 'sieve' ? 'managesieve' : $name;

		$self->{port}{$name} = MxwardenTest::free_port();
		$services .= <<"EOT";
service $login-login {
  chroot =
  inet_listener $name {
    port = $self->{port}{$name}
  }
  inet_listener ${name}s {
    port = 0
  }
}
EOT
	}
	my $log = $arg{syslog} ? 'syslog' : "$dir/log";
	mkdir $_ or croak "mkdir $_: $!" for $dir, "$dir/run", "$dir/state";
	MxwardenTest::spew("$dir/users", map {
		"$_:{PLAIN}$arg{users}{$_}::::::\n"
	} sort keys %{$arg{users}});
	chmod 0644, "$dir/users";
	# No delay and no penalty: the test measures another memory of abuse.
	MxwardenTest::spew("$dir/dovecot.conf", <<"EOT");
base_dir = $dir/run
state_dir = $dir/state
log_path = $log
protocols = @{$arg{logins} // []}
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5
auth_failure_delay = 0
auth_verbose = yes
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u $dir/users
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  unix_listener $self->{socket} {
    mode = 0666
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0
  }
}
$services
${\($arg{conf} // '')}
EOT
	$self->start;
	return $self;
}

sub socket { return $_[0]{socket} }
sub port { return $_[0]{port}{$_[1]} }
sub log { return MxwardenTest::slurp("$_[0]{dir}/log") }

sub
start {
	my ($self) = @_;

	$self->{proc} = MxwardenTest::spawn(name => 'dovecot',
		cmd => ['dovecot', '-F', '-c', "$self->{dir}/dovecot.conf"]);
	MxwardenTest::wait_for {
		croak 'dovecot does not start: ' . ($self->log // '') .
		    $self->{proc}->tail if !$self->{proc}->alive;
		IO::Socket::UNIX->new(Peer => $self->{socket});
	} 20, 'dovecot to listen';
	return;
}

sub stop { $_[0]{proc}->stop; return }

1;
