# Log: one log file as its writer and its rotation treat it.
#
#   plain   renamed (mail.log.1, .2 ...), or deleted
#   link    a symbolic link to a dated file; rotation points it elsewhere
#   copy    copytruncate
#
# What is put is written in order, each line as one write(2), but for those that
# a fault cuts: the rest follows later. A disk that is full delays what comes
# after, so nothing is lost here. A line counts (its callback is called) when
# its newline is written.
package Faults::Log;

use strict;
use warnings;

use Carp qw(croak);
use File::Copy ();
use Time::HiRes qw(time);

sub
new {
	my ($class, %arg) = @_;
	my $self = bless { %arg, path => "$arg{dir}/$arg{name}", queue => [],
		files => 0, bytes => 0 }, $class;

	$self->{kind} eq 'link' ? $self->_relink : $self->_open;
	return $self;
}

sub path { return $_[0]{path} }
sub kind { return $_[0]{kind} }
sub form { return $_[0]{form} }

# All at once, or false: no room on the disk.
sub
_open {
	my ($self) = @_;

	$self->{fh} = $self->_create($self->{path}) or return;
	return 1;
}

# With its mode from the first moment.
sub
_create {
	my ($self, $path) = @_;
	my $was = umask 0777 & ~($self->{mode} // 0644);
	my $ok = open my $fh, '>>:raw', $path;

	umask $was;
	return $ok ? $fh : undef;
}

sub
put {
	my ($self, $text, $done) = @_;

	push @{$self->{queue}}, [$text, $done];
	return;
}

# The next line put is written in two halves, so many seconds apart.
sub
cut {
	my ($self, $seconds) = @_;

	$self->{cut} = $seconds;
	return;
}

# Writes what can be written; true when nothing is left.
sub
flush {
	my ($self) = @_;
	my $queue = $self->{queue};

	while (@$queue) {
		my $line = $queue->[0];
		my $n = length $line->[0];

		return 0 if $self->{held} && time < $self->{held};
		delete $self->{held};
		if ($self->{cut} && $n > 2 && !$line->[2]) {
			$n = 1 + int rand($n - 1);
			$line->[2] = 1;
			$self->{held} = time + delete $self->{cut};
		}
		my $got = syswrite $self->{fh}, $line->[0], $n;
		if (!defined $got) {
			croak "$self->{path}: $!" if !$!{ENOSPC};
			return 0;
		}
		$self->{bytes} += $got;
		substr $line->[0], 0, $got, '';
		# Half of it is in this file: it goes on there.
		$line->[2] = 1;
		return 0 if length $line->[0];
		shift @$queue;
		$line->[1]->() if $line->[1];
	}
	return 1;
}

sub empty { return !@{$_[0]{queue}} }

sub
_relink {
	my ($self) = @_;
	my $n = ++$self->{files};
	my $target = sprintf '%s-202%d%02d%02d.log', $self->{name} =~ s/\.log\z//r,
	    int($n / 336), 1 + int($n / 28) % 12, 1 + $n % 28;

	my $fh = $self->_create("$self->{dir}/$target") or return;
	unlink "$self->{path}.new";
	symlink $target, "$self->{path}.new" or return;
	rename "$self->{path}.new", $self->{path} or croak "rename: $!";
	$self->{fh} = $fh;
	return 1;
}

# The line that has been begun is finished in the file in which it was begun.
sub
_finish {
	my ($self) = @_;
	my $line = $self->{queue}[0];

	return if !$line || !$line->[2] || !$self->{held};
	delete $self->{held};
	my $got = syswrite($self->{fh}, $line->[0]) // 0;
	$self->{bytes} += $got;
	substr $line->[0], 0, $got, '';
	# On a full disk the rest stays for the next file, without its line.
	return if length $line->[0];
	shift @{$self->{queue}};
	$line->[1]->() if $line->[1];
	return;
}

sub
_shift {
	my ($self) = @_;

	rename "$self->{path}.$_", "$self->{path}." . ($_ + 1) or
	    croak "rename: $!" for reverse 1 .. $self->{files};
	$self->{files}++;
	return;
}

# True if it was done; a full disk prevents it.
sub
rotate {
	my ($self, $how) = @_;
	my $old = $self->{fh};

	return 0 if $self->{queue}[0] && $self->{queue}[0][2] &&
	    !$self->{held}; # half a line, and the disk is full
	if ($self->{kind} eq 'copy') {
		$self->_finish;
		# A copy that is not whole would be taken for one.
		my $tmp = $self->_create("$self->{path}.tmp") or return 0;
		if (!File::Copy::copy($self->{path}, $tmp) || !close $tmp) {
			unlink "$self->{path}.tmp";
			return 0;
		}
		$self->_shift;
		rename "$self->{path}.tmp", "$self->{path}.1"
		    or croak "rename: $!";
		truncate $self->{fh}, 0 or croak "truncate: $!";
		return 1;
	}
	# Writers are told after the file was renamed, and open the new one.
	if ($self->{kind} eq 'plain') {
		if ($how eq 'delete') {
			unlink $self->{path} or croak "unlink: $!";
		} else {
			$self->_shift;
			rename $self->{path}, "$self->{path}.1"
			    or croak "rename: $!";
		}
	}
	$self->_finish;
	my $done = $self->{kind} eq 'link' ? $self->_relink : $self->_open;
	croak "$self->{path}: $!" if !$done;
	return 1;
}

1;
