# Host: the mail server on which it happens: the daemon with its helpers, its
# store, disks and clock; and what is compared when all is quiet.
package Faults::Host;

use strict;
use warnings;

use Carp qw(croak);
use JSON::PP ();
use MxwardenTest;
use MxwardenTest::Activation;
use MxwardenTest::Model;
use POSIX ();
use Time::HiRes qw(sleep time);

use Faults::Lines;
use Faults::Log;

use constant { EDGE => 7, RULES => 6 };

my ($libfaketime) = grep { -e }
    glob '/usr/lib{,64,/*}/faketime/libfaketime.so.1';

sub pick { return Faults::Lines::pick(@_) }

# new(store, dir, judge): random by the state of rand.
sub
new {
	my ($class, %arg) = @_;
	my $tmp = tmp_dir();
	my $self = bless { %arg, tmp => $tmp, root => $> == 0,
		lives => 0, base => {} }, $class;

	$self->{sanitized} = slurp(build_dir() . '/Makefile') =~
	    /^SAN_CFLAGS = .*fsanitize/m;
	mkdir "$tmp/$_" or croak "$tmp/$_: $!" for qw(logs state);
	# Small disks, that can be filled.
	if ($self->{root}) {
		_sh(qw(mount -t tmpfs -o size=64m tmpfs), "$tmp/logs");
		_sh(qw(mount -t tmpfs -o size=8m tmpfs), "$tmp/state");
		MxwardenTest::at_end(sub {
			run_cmd('umount', "$tmp/$_") for qw(logs state);
		});
	}
	$self->{logs} = [
		$self->_log('mail.log', 'plain', 'iso'),
		$self->_log('second.log', 'link', 'bsd'),
		$self->_log('third.log', 'copy', 'iso'),
	];
	$self->{redis} = MxwardenTest::Redis->new(aof => 1)
	    if $arg{store} eq 'redis';
	$self->{held} = MxwardenTest::Activation->new if rand() < 0.5;
	$self->_configure;
	$self->_clock;
	$self->_daemon;
	return $self;
}

sub
_sh {
	my (@cmd) = @_;
	my ($status, $out, $err) = run_cmd(@cmd);

	croak "@cmd: $err" if $status != 0;
	return $out;
}

sub
_log {
	my ($self, $name, $kind, $form) = @_;

	# As root: only the helper can open it.
	return Faults::Log->new(dir => "$self->{tmp}/logs", name => $name,
		kind => $kind, form => $form,
		mode => $self->{root} ? 0600 : undef);
}

# A window and blocks that end while it runs, where the log's time alone
# decides; Redis has a clock of its own.
sub
_configure {
	my ($self) = @_;
	my $own = $self->{store} eq 'embedded';

	$self->{conf} = {
		window => $own ? pick(60, 600, 86400) : 86400,
		ipv4_prefix => 32,
		ipv6_prefix => pick(64, 64, 56),
		levels => [
			{ name => 'slow', threshold => 5,
				duration => $own ? pick(15, 40, 3600) : 7200 },
			{ name => 'refuse', threshold => 12,
				duration => $own ? pick(60, 3600) : 10800 },
			{ name => 'firewall', threshold => 30,
				duration => 14400 },
		],
		repeat => { factor => pick(1, 2), max => 604800,
			memory => 2592000 },
	};
	return;
}

sub
_clock {
	my ($self) = @_;

	$self->{clock} = "$self->{tmp}/clock";
	spew($self->{clock}, "+0\n");
	# Redis would need the same one. AddressSanitizer wants to be the first
	# library.
	return if $self->{store} ne 'embedded' || !$libfaketime ||
	    $self->{sanitized};
	$self->{steps} = 1;
	$self->{env} = { LD_PRELOAD => $libfaketime, FAKETIME_NO_CACHE => 1,
		FAKETIME_DONT_FAKE_MONOTONIC => 1, DONT_FAKE_MONOTONIC => 1,
		NO_FAKE_STAT => 1,
		FAKETIME_TIMESTAMP_FILE => $self->{clock} };
	return;
}

sub
_daemon {
	my ($self) = @_;
	my $held = $self->{held};

	$self->{http} = free_port();
	$self->{d} = MxwardenTest::Daemon->new(start => 0, log => undef,
		env => { %{$self->{env} // {}}, ASAN_OPTIONS =>
		    'detect_leaks=1:exitcode=99:quarantine_size_mb=4' },
		$held ? (port => $held->port, wrap => $held->wrap) : ());
	my $dir = $self->{d}->dir;
	if ($self->{root}) {
		my ($uid, $gid) = (getpwnam 'nobody')[2, 3];

		chown $uid, $gid, "$self->{tmp}/state" or croak "chown: $!";
		chmod 01777, $dir or croak "chmod: $!"; # for the control socket
	}
	$self->write_conf;
	return;
}

# The configuration; `more` is added to it as it is.
sub
write_conf {
	my ($self, %more) = @_;
	my ($c, $d) = @$self{qw(conf d)};
	my $text = $more{text} // '';
	my %action = (slow => 'DEFER 4.7.1 Later', refuse => 'REJECT 5.7.1 No',
		firewall => '521 5.7.1 Never');

	delete $more{text};
	$d->write_conf({
		include => [],
		$self->{root} ? (user => 'nobody',
			helper => program('mxwarden-priv')) : (),
		$self->{root} && !$self->{no_firewall} ?
		    (firewall => { backend => 'nftables', interval => '5s' })
		    : (),
		state_dir => "$self->{tmp}/state",
		log => [map { [$_->path, { rules => ['faults'],
			start => 'beginning' }] } @{$self->{logs}}],
		store => $self->{redis} ? $self->{redis}->url : 'embedded',
		host => 'mx1',
		http => "127.0.0.1:$self->{http}",
		log_level => 'info',
		snapshot_interval => '1s',
		allow => ['127.0.0.0/8', '::1', '192.0.2.0/24',
			'2001:db8:aaaa::/48'],
		score => { window => "$c->{window}s",
			ipv4_prefix => $c->{ipv4_prefix},
			ipv6_prefix => $c->{ipv6_prefix} },
		repeat => { factor => "$c->{repeat}{factor}.0",
			max => "$c->{repeat}{max}s",
			memory => "$c->{repeat}{memory}s" },
		level => [map { [$_->{name}, { threshold => $_->{threshold},
			duration => "$_->{duration}s",
			$_->{name} eq 'firewall' ? (firewall => 'true') : (),
			action => "$action{$_->{name}} ({level})" }] }
		    @{$c->{levels}}],
		rule => Faults::Lines::conf(),
		%more,
	});
	append($d->conf_file, $text) if length $text;
	chmod 0644, $d->conf_file;
	return;
}

sub d { return $_[0]{d} }
sub redis { return $_[0]{redis} }
sub port { return $_[0]{d}->port }

# --- The daemon's life --------------------------------------------------------

sub
start {
	my ($self) = @_;
	my $d = $self->{d};

	$self->{held} ? $self->{held}->start($d) : $d->launch;
	$d->wait_ready;
	# It listens before its helpers have read the configuration, which may
	# be a broken one in a moment.
	wait_for { ($d->proc->stderr // '') =~ / is ready$/m } 60,
	    'mxwardend to be ready';
	$self->{lives}++;
	$self->{load}->order('pid', $d->pid) if $self->{load}{pid};
	return;
}

sub
stop {
	my ($self) = @_;
	my $d = $self->{d};

	$self->{load}->order('pid', 0) if $self->{load};
	my $status = $d->proc->stop(seconds => 40);
	$d->disconnect;
	# 1: the state could not be written.
	$self->{judge}->fail('SIGTERM: exit status ' . ($status // 'none'))
	    if !defined $status || $status != 0 &&
		!($status == 1 && $self->{full}{state});
	$self->_heard;
	return;
}

sub
kill9 {
	my ($self) = @_;

	$self->{load}->order('pid', 0) if $self->{load};
	$self->{d}->kill9;
	$self->_heard;
	return;
}

# What no fault here explains.
my $bad = qr/Sanitizer|runtime error:|[Aa]ssert|\bpanic\b|fatal:|BUG|
    Segmentation|corrupt|FAILED/x;
# Errors that have a cause, and say so.
my $expected = qr/mxwarden\.conf:\d+:|configuration|
    helper|state\ not\ written|No\ space|[Oo]ut\ of\ memory|Cannot\ allocate|
    redis/xi;

# What it has said in its life. It goes into the directory of the run.
sub
_heard {
	my ($self) = @_;
	my $text = $self->{d}->proc->stderr // '';

	spew(sprintf('%s/daemon.%03d', $self->{dir}, $self->{lives}), $text);
	for (split /\n/, $text) {
		my $why = /$bad/ ? 'said' : / error: / && !/$expected/ ?
		    'an error' : next;
		$self->{judge}->fail("the daemon, $why: $_");
	}
	return;
}

# It has not ended by itself.
sub
alive {
	my ($self) = @_;
	my $proc = $self->{d}->proc;

	return 1 if $proc->alive;
	$self->_heard;
	$self->{judge}->fail('the daemon ended by itself, status ' .
	    $proc->{status});
	return 0;
}

# The helper of this role.
sub
helper {
	my ($self, $role) = @_;
	my $parent = $self->{d}->pid;

	for my $stat (glob '/proc/[0-9]*/stat') {
		my ($pid, $ppid) = (slurp($stat) // '') =~
		    /\A(\d+) \(.*\) \S (\d+)/s or next;
		return $pid if $ppid == $parent &&
		    (slurp("/proc/$pid/cmdline") // '') =~ /\0$role\0/;
	}
	return;
}

# --- Disks --------------------------------------------------------------------

sub
fill {
	my ($self, $disk) = @_;

	$self->{full}{$disk} = 1;
	open my $fh, '>', "$self->{tmp}/$disk/ballast" or croak "ballast: $!";
	my $n = 65536;
	while ($n > 0) {
		my $got = syswrite $fh, 'x' x $n;

		$n = $n > 1 ? int $n / 2 : 0 if !$got || $got < $n;
	}
	return;
}

sub
unfill {
	my ($self, $disk) = @_;

	unlink "$self->{tmp}/$disk/ballast";
	delete $self->{full}{$disk};
	return;
}

# --- Quiet --------------------------------------------------------------------

sub
status {
	my ($self) = @_;

	return $self->{d}->ctl('status');
}

# All that was written has been read and has reached the store.
sub
settled {
	my ($self) = @_;
	my $s = eval { $self->status } // return;

	return if grep { $_->{state} ne 'current' || $_->{behind} }
	    @{$s->{logs}};
	return $s->{store}{ready} && $s->{store}{state} eq 'ready' &&
	    $s->{store}{pending} == 0;
}

sub
settle {
	my ($self, $what) = @_;

	return 1 if try_for { $self->settled } 60;
	my $s = eval { JSON::PP->new->canonical->encode($self->status) } // $@;
	$self->{judge}->fail("$what: it does not settle: $s");
	return 0;
}

# A state that was written after everything that has happened so far: the second
# one that is begun by something done by hand; nothing is written when nothing
# has changed.
sub
saved {
	my ($self) = @_;

	for (1 .. 2) {
		my $from = $self->status->{daemon}{state_writes};

		$self->{d}->ctl('block', '198.18.2.1');
		$self->{d}->ctl('unblock', '198.18.2.1');
		wait_for {
			$self->status->{daemon}{state_writes} > $from;
		} 30, 'the state to be written';
	}
	return;
}

sub
_model {
	my ($self) = @_;
	my $file = "$self->{dir}/model.json";

	$self->{load}->order('dump', $file);
	return JSON::PP->new->decode(slurp($file));
}

# All addresses that the model knows, also those of whom only strikes are left.
sub
known {
	my ($self) = @_;
	my $m = $self->_model;
	my %all = map { $_ => 1 } map { keys %{$m->{$_}} }
	    qw(score block strikes);

	return sort keys %all;
}

# What differs between daemon and model. `most`: something was deleted on
# purpose; then no more than the model knows.
sub
differences {
	my ($self, $most) = @_;
	my $m = $self->_model;

	return ($self->_scores($m, $most), $self->_blocks($m, $most));
}

sub _ours { return $_[0] =~ /\A198\.18\./ }

sub
_hits {
	my ($e) = @_;
	my $rules = $e ? $e->{rules} : return 'none';

	return join ' ', $e->{hits}, map { "$_=$rules->{$_}" }
	    sort keys %$rules;
}

sub
_scores {
	my ($self, $m, $most) = @_;
	my %have = map { $_->{address} => $_ }
	    @{$self->{d}->ctl('top', '-n', 1000)};
	my $gone = $m->{now} - $self->{conf}{window};
	my @bad;

	for my $addr (sort keys %{$m->{score}}) {
		my $want = $m->{score}{$addr};
		my $have = delete $have{$addr};

		if ($most) {
			push @bad, "$addr: score $have->{score}, at most " .
			    $want->{score} if $have &&
			    $have->{score} > $want->{score} + 0.002;
			next;
		}
		next if $want->{last} < $gone + EDGE;
		my ($h, $w) = (_hits($have), _hits($want));

		# A few rules are remembered, not all.
		push @bad, "$addr: score " . ($have->{score} // 'none') .
		    " $h, want $want->{score} $w" if !$have ||
		    abs($have->{score} - $want->{score}) > 0.002 ||
		    keys %{$want->{rules}} <= RULES && $h ne $w ||
		    $have->{hits} != $want->{hits};
	}
	push @bad, map { "$_: score $have{$_}{score}, want none" }
	    grep { !_ours($_) } sort keys %have;
	return @bad;
}

# A time as text that sorts.
sub _sortable { return $_[0] =~ s/(?<!\....)Z\z/.000Z/r }

sub
_blocks {
	my ($self, $m, $most) = @_;
	my %have = map { $_->{address} => $_ } @{$self->{d}->ctl('list')};
	my @bad;

	for my $addr (sort keys %{$m->{block}}) {
		my $want = $m->{block}{$addr};
		my $have = delete $have{$addr};
		my $name = $self->{conf}{levels}[$want->{level}]{name};

		next if abs($want->{until} - $m->{now}) < EDGE ||
		    $m->{edge}{$addr};
		if ($want->{until} < $m->{now}) {
			push @bad, "$addr: blocked, but it is over" if $have;
			next;
		}
		if ($most) {
			my ($level) = grep { $have && $have->{level} eq
			    $self->{conf}{levels}[$_]{name} } 0 .. 2;
			push @bad, "$addr: $have->{level}, at most $name"
			    if ($level // -1) > $want->{level};
			next;
		}
		my $w = join ' ', $name, $want->{rule}, $want->{strikes},
		    MxwardenTest::Model::format_score($want->{score});
		my $h = $have ? join ' ', @$have{qw(level rule strikes)},
		    MxwardenTest::Model::format_score($have->{score}) : 'none';
		# A number that lies between two milliseconds is either. With
		# Redis less than half a second is no difference, and the TTL of
		# a key begins when Redis goes on.
		my $near = $self->redis ? 0.5 : 0.0005;
		my ($from, $until, $to) = map {
			MxwardenTest::Model::format_time($want->{until} + $_)
		} -$near, 0, $near + ($self->{stopped} // 0);
		push @bad, "$addr: block $h " . ($have->{until} // '') .
		    ", want $w $until" if $h ne $w ||
		    _sortable($have->{until}) lt _sortable($from) ||
		    _sortable($have->{until}) gt _sortable($to);
	}
	push @bad, map { "$_: blocked at $have{$_}{level}, want none" }
	    grep { !_ours($_) } sort keys %have;
	return @bad;
}

# The packet filter has what the view has, at the level for it.
sub
firewall {
	my ($self) = @_;
	my $sets = `nft -j list ruleset 2>/dev/null`;
	my %have;

	for my $o (@{JSON::PP->new->decode($sets)->{nftables}}) {
		for my $e (@{($o->{set} // next)->{elem} // []}) {
			my $v = ref $e && $e->{elem} ? $e->{elem}{val} : $e;

			$v = "$v->{prefix}{addr}/$v->{prefix}{len}" if ref $v;
			# Sets of prefixes hold their first address.
			$have{$v} = 1;
		}
	}
	my @bad;
	for my $b (@{$self->{d}->ctl('list', '-l', 'firewall')}) {
		my $addr = $b->{address} =~ s{/\d+\z}{}r;

		push @bad, "$b->{address}: not in the packet filter"
		    if !delete $have{$addr} && !delete $have{$b->{address}};
	}
	push @bad, map { "$_: in the packet filter" } sort keys %have;
	return @bad;
}

sub
rss {
	my ($self) = @_;

	return (slurp('/proc/' . $self->{d}->pid . '/status') =~
	    /^VmRSS:\s+(\d+)/m)[0];
}

sub
descriptors {
	my ($self) = @_;

	# Those of the library that fakes the clock come and go.
	return sort grep { !/faketime/ }
	    map { (readlink($_) // '(gone)') =~ s/\d+/N/gr }
	    glob '/proc/' . $self->{d}->pid . '/fd/*';
}

1;
