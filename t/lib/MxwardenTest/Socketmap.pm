# Socketmap: a lookup table for Postfix that counts who asks for what.
#
# Speaks the socketmap protocol (socketmap_table(5)): netstrings, "NAME KEY" ->
# "OK VALUE" or "NOTFOUND ". Every lookup is written to a file with one write
# before it is answered, so the test sees all that Postfix has seen.
package MxwardenTest::Socketmap;

use strict;
use warnings;

use Carp qw(croak);
use IO::Select;
use IO::Socket::IP;
use POSIX ();
use Socket qw(SOCK_STREAM);

my $serial = 0;

# new(table => { key => value }): answers every map name from one table.
sub
new {
	my ($class, %arg) = @_;
	my $self = bless { table => $arg{table}, name => $arg{name} // 'map',
		port => MxwardenTest::free_port(), file =>
		MxwardenTest::tmp_dir() . '/socketmap-' . ++$serial }, $class;
	my $listener = IO::Socket::IP->new(LocalHost => '127.0.0.1',
		LocalPort => $self->{port}, Type => SOCK_STREAM,
		Listen => 128, ReuseAddr => 1) or croak "listen: $!";

	MxwardenTest::spew($self->{file}, '');
	my $pid = fork // croak "fork: $!";
	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		eval { $self->_serve($listener) };
		POSIX::_exit(1);
	}
	$self->{pid} = $pid;
	MxwardenTest::at_end(sub { $self->stop });
	return $self;
}

# The table as Postfix names it.
sub
map_name {
	my ($self) = @_;

	return "socketmap:inet:127.0.0.1:$self->{port}:$self->{name}";
}

# The keys that were looked up, in order; or those that match.
sub
lookups {
	my ($self, $re) = @_;
	my @keys = split /\n/, MxwardenTest::slurp($self->{file});

	return defined $re ? grep { $_ =~ $re } @keys : @keys;
}

sub
reset {
	my ($self) = @_;

	truncate $self->{file}, 0 or croak "truncate: $!";
	return;
}

sub stop { return MxwardenTest::kill_child($_[0]) }

sub
_serve {
	my ($self, $listener) = @_;
	my $select = IO::Select->new($listener);
	my %buf;

	open my $log, '>>:raw', $self->{file} or die;
	for (;;) {
		for my $s ($select->can_read) {
			if ($s == $listener) {
				my $new = $s->accept or next;
				$select->add($new);
				$buf{fileno $new} = '';
				next;
			}
			my $in = \$buf{fileno $s};
			if (!sysread $s, $$in, 4096, length $$in) {
				$select->remove($s);
				delete $buf{fileno $s};
				close $s;
				next;
			}
			while ($$in =~ /\A(\d{1,5}):/ &&
			    length $$in >= length($1) + 2 + $1) {
				my $text = substr $$in, length($1) + 1, $1;
				substr $$in, 0, length($1) + 2 + $1, '';
				my ($key) = $text =~ /\A\S+ (.*)\z/s;
				syswrite $log, "$key\n";
				my $value = $self->{table}{lc $key};
				my $reply = defined $value ? "OK $value" :
				    'NOTFOUND ';
				syswrite $s, length($reply) . ":$reply,";
			}
		}
	}
	return;
}

1;
