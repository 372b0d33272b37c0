# Inject: the faults, and the schedule in which they come.
#
# The schedule is made from the seed alone, before anything runs: a list of
# slots of some seconds, each with one to three faults that can go together,
# each with a seed of its own. Every kind comes before one comes a second time.
package Faults::Inject;

use strict;
use warnings;

use IO::Socket::IP;
use List::Util qw(max);
use MxwardenTest;
use Time::HiRes qw(sleep time);

use Faults::Clients;

# name => { code, group, alone, needs }. Two of one group do not go together;
# what is alone goes with nothing but clients. The code begins the fault and
# returns what ends it, if anything does.
my %fault = (
	'rotate' => { group => 'log', code => \&_rotate },
	'rotate-often' => { group => 'log', code => \&_rotate_often },
	'delete' => { alone => 1, code => \&_delete },
	'half-line' => { group => 'log', code => \&_half },
	'burst' => { group => 'burst', code => \&_burst },
	'reload' => { group => 'reload', code => \&_reload },
	'reload-bad' => { group => 'reload', code => \&_reload_bad },
	'daemon-kill' => { group => 'daemon', code => \&_daemon_kill },
	'daemon-restart' => { group => 'daemon', code => \&_daemon_restart },
	'daemon-away' => { group => 'daemon', code => \&_daemon_away },
	'helper-logs' => { group => 'daemon', needs => 'root',
		code => \&_helper_logs },
	'helper-firewall' => { group => 'daemon', needs => 'root',
		code => \&_helper_firewall },
	'state-full' => { group => 'disk', needs => 'root',
		code => \&_state_full },
	'log-full' => { group => 'disk', needs => 'root',
		code => \&_log_full },
	'clock' => { alone => 1, needs => 'steps', code => \&_clock },
	'flood' => { group => 'client', code => \&_client },
	'loris' => { group => 'client', code => \&_client },
	'idle' => { group => 'client', code => \&_client },
	'garbage' => { group => 'client', code => \&_client },
	'deaf' => { group => 'client', code => \&_client },
	'reset' => { group => 'client', code => \&_client },
	'half-open' => { group => 'client', needs => 'root',
		code => \&_half_open },
	'descriptors' => { group => 'limit', needs => 'root',
		code => \&_descriptors },
	'memory' => { alone => 1, needs => 'plain', code => \&_memory },
	'redis-kill' => { group => 'redis', needs => 'redis',
		code => \&_redis_kill },
	'redis-stop' => { group => 'redis', needs => 'redis',
		code => \&_redis_stop },
	'redis-readonly' => { group => 'redis', needs => 'redis',
		code => \&_redis_readonly },
	'redis-full' => { group => 'redis', needs => 'redis',
		code => \&_redis_full },
	'redis-clients' => { group => 'redis', needs => 'redis',
		code => \&_redis_clients },
	'redis-scripts' => { group => 'redis', needs => 'redis',
		code => \&_redis_scripts },
	'redis-flush' => { group => 'redis', needs => 'redis',
		code => \&_redis_flush },
);

# --- The schedule -------------------------------------------------------------

sub _shuffle {
	my (@x) = @_;

	for my $i (reverse 1 .. $#x) {
		my $j = int rand($i + 1);

		@x[$i, $j] = @x[$j, $i];
	}
	return @x;
}

# Endless: call it for the next slot, { seconds, faults => [[name, seed,
# begins after, lasts]...] }. `have` says what there is: root, redis, steps,
# plain.
sub
schedule {
	my ($class, %have) = @_;
	my @names = grep { !$fault{$_}{needs} || $have{$fault{$_}{needs}} }
	    sort keys %fault;
	my @deck;

	return sub {
		my ($n, %group, @chosen, @later) = (1 + int rand 3);

		while (@chosen < $n) {
			@deck = _shuffle(@names) if !@deck;
			my $name = shift @deck;
			my $f = $fault{$name};
			my $group = $f->{group} // 'alone';

			if ($group{$group} || grep({ $_ eq $name } @chosen) ||
			    $f->{alone} && grep { $_ ne 'client' } keys %group or
			    $group{alone} && $group ne 'client') {
				push @later, $name;
				last if @later > 8;
				next;
			}
			$group{$group} = 1;
			push @chosen, $name;
		}
		unshift @deck, @later;
		my $seconds = 2 + rand 5;
		return { seconds => $seconds, faults => [map {
			[$_, 1 + int rand 1e6, rand 1, 1 + rand($seconds - 1)]
		} @chosen] };
	};
}

sub
begin {
	my ($class, $host, $name, $seconds) = @_;

	return $fault{$name}{code}->($host, $name, $seconds);
}

# --- Logs ---------------------------------------------------------------------

sub
_rotate {
	my ($h) = @_;

	$h->{load}->order('rotate', int rand 3, 'rename');
	return;
}

sub
_rotate_often {
	my ($h) = @_;

	for (1 .. 2 + int rand 6) {
		$h->{load}->order('rotate', int rand 3, 'rename');
		sleep rand 0.1 if rand() < 0.5;
	}
	return;
}

# What is deleted can be read only by who has it open: not again after a crash.
# So this goes alone, and the state is written before something else happens.
sub
_delete {
	my ($h) = @_;

	return sub {
		$h->settle('before a log is deleted') or return;
		$h->{load}->order('rotate', 0, 'delete');
		sleep 0.5;
		$h->{load}->order('pause');
		$h->settle('after a log was deleted');
		$h->saved;
		$h->{load}->order('go');
	};
}

sub
_half {
	my ($h) = @_;

	$h->{load}->order('cut', $_, sprintf '%.2f', rand 3) for 0 .. 2;
	return;
}

sub
_burst {
	my ($h) = @_;

	$h->{load}->order('burst', 500 + int rand 1500);
	return;
}

# --- Configuration ------------------------------------------------------------

sub
_reload_by {
	my ($h, $good) = @_;

	if (rand() < 0.5) {
		my ($status) = $h->d->ctl_full('reload');

		$h->{judge}->fail("reload: exit status $status")
		    if $good != ($status == 0) && !$h->{judge}->busy;
	} else {
		$h->d->signal('HUP') if $h->d->proc->alive;
	}
	return;
}

# Things that change nothing for those who ask.
sub
_reload {
	my ($h) = @_;

	$h->write_conf(Faults::Host::pick(
		[log_level => 'info'], [log_level => 'notice'],
		[idle_timeout => '400s'], [snapshot_interval => '700ms'],
		[listen => ['inet:127.0.0.1:' . $h->port, 'inet:127.0.0.1:' .
			free_port()]],
		[allow => ['127.0.0.0/8', '::1', '192.0.2.0/24',
			'2001:db8:aaaa::/48', '192.88.99.0/24']],
	)->@*);
	_reload_by($h, 1);
	return sub {
		$h->write_conf;
		_reload_by($h, 1);
	};
}

my @broken = ("nonsense = 1\n", "level \"x\" {\n", "idle_timeout = \"1\"\n",
	"rule \"r\" { set = \"faults\" program = {\"smtpd\"} pattern = \"^(\" }\n",
	"level \"bad\" { threshold = 50 duration = \"1h\" action = \"OK\" }\n",
	"log \"/nonexistent\" { rules = {\"nobody\"} }\n", "\0\0\0");

sub
_reload_bad {
	my ($h) = @_;

	$h->write_conf(text => $broken[rand @broken]);
	_reload_by($h, 0);
	# Who starts anew finds a good one again.
	sleep 0.5;
	$h->write_conf;
	return;
}

# --- The daemon ---------------------------------------------------------------

sub
_daemon_kill {
	my ($h) = @_;

	for (1 .. 1 + int rand 3) {
		$h->kill9;
		sleep rand 0.5;
		$h->start;
		sleep rand 2;
	}
	return;
}

sub
_daemon_restart {
	my ($h) = @_;

	$h->stop;
	$h->start;
	return;
}

# Logs are written and rotated while nobody reads them.
sub
_daemon_away {
	my ($h) = @_;

	rand() < 0.5 ? $h->stop : $h->kill9;
	for (1 .. 1 + int rand 5) {
		sleep rand 0.7;
		$h->{load}->order('rotate', int rand 3, 'rename');
	}
	$h->start;
	return;
}

# A helper that is gone stays gone: the daemon has to be started again.
sub
_helper {
	my ($h, $role) = @_;
	my $pid = $h->helper($role);

	if (!$pid) {
		$h->{judge}->fail("no helper $role");
		return;
	}
	kill 'KILL', $pid;
	# What copytruncate takes away is read in the copy, which only the
	# helper can open: that is lost, and told. A file that was renamed is
	# found by the next daemon.
	if ($role eq 'logs') {
		$h->{load}->order('unread', patience(20));
		$h->{load}->order('rotate', int rand 2, 'rename');
	}
	return sub {
		if ($h->alive) {
			$h->stop;
			$h->start;
		}
		$h->{load}->order('unread', 0);
	};
}

sub _helper_logs { return _helper($_[0], 'logs') }
sub _helper_firewall { return _helper($_[0], 'firewall') }

# --- Disks and clock ----------------------------------------------------------

sub
_state_full {
	my ($h) = @_;

	$h->fill('state');
	return sub { $h->unfill('state') };
}

sub
_log_full {
	my ($h) = @_;

	$h->fill('logs');
	return sub { $h->unfill('logs') };
}

# A step of the clock forward, now and then one back. No line is under way at
# that moment: one that is written before a step back and read after it comes
# from the future, and what the daemon makes of it depends on when it reads it.
sub
_clock {
	my ($h) = @_;
	my $offset = $h->{offset} //= 0;
	my $back = $offset > 0 && rand() < 0.4;
	my $step = $back ? -(1 + int rand 100) : 1 + int 10 ** rand 3.5;

	$h->{load}->order('pause');
	$h->settle('before the clock steps') or return;
	$h->saved;
	$h->{offset} += $step;
	$h->{load}->order('clock', $h->{offset});
	# libevent looks at the clock every 5 seconds.
	sleep 6;
	$h->{load}->order('go');
	return;
}

# --- Clients ------------------------------------------------------------------

sub
_client {
	my ($h, $name, $seconds) = @_;
	my @pids = map {
		Faults::Clients->run($name, seed => int rand 1e6,
			seconds => $seconds, dir => $h->{dir}, port => $h->port,
			control => $h->d->control, http => $h->{http})
	} 1 .. 2;

	return sub {
		kill 'KILL', @pids;
		waitpid $_, 0 for @pids;
	};
}

# Peers that vanish without a word: nothing of theirs arrives any more, and the
# daemon does not learn that they closed.
sub
_half_open {
	my ($h) = @_;
	my @c;

	for my $n (1 .. 50) {
		my $s = IO::Socket::IP->new(LocalHost => '127.9.9.9',
			PeerHost => '127.0.0.1', PeerPort => $h->port,
			Timeout => 2) or next;

		syswrite $s, substr "request=smtpd_access_policy\nx=y\n", 0,
		    rand 30;
		push @c, $s;
	}
	_nft('add table ip faults;',
	    'add chain ip faults in { type filter hook input priority 0; };',
	    'add rule ip faults in ip saddr 127.9.9.9 drop;',
	    'add rule ip faults in ip daddr 127.9.9.9 drop');
	close $_ for @c;
	return sub { _nft('delete table ip faults') };
}

sub
_nft {
	my (@text) = @_;
	my ($status, $out, $err) = run_cmd('nft', "@text");

	die "nft @text: $err" if $status != 0;
	return;
}

# --- Limits -------------------------------------------------------------------

sub
_limit {
	my ($h, $what, $n) = @_;

	# Of the soft limit; the process may have ended meanwhile.
	run_cmd('prlimit', '--pid', $h->d->pid, "--$what=$n:")
	    if $h->d->proc->alive;
	return;
}

# A few descriptors more than are used, and clients that take them.
sub
_descriptors {
	my ($h, $name, $seconds) = @_;
	my $pid = $h->d->pid;
	my $most = (sort { $b <=> $a } map { m{(\d+)\z} }
	    glob "/proc/$pid/fd/*")[0];

	_limit($h, 'nofile', $most + 10 + int rand 30);
	my $end = _client($h, Faults::Host::pick('idle', 'flood'), $seconds);
	$h->{load}->order('rotate', int rand 3, 'rename') for 1 .. 2;
	return sub {
		$end->();
		_limit($h, 'nofile', 1024);
	};
}

sub
_memory {
	my ($h, $name, $seconds) = @_;
	my ($size) = (slurp('/proc/' . $h->d->pid . '/statm') // '') =~
	    /^(\d+)/;

	_limit($h, 'as', $size * 4096 + int rand 1 << 20);
	my @ends = map { _client($h, $_, $seconds) } 'flood', 'deaf';
	$h->{load}->order('burst', 1000);
	# Hits without memory are counted, and lost.
	$h->{judge}->end($h->{tainted}) if $h->{tainted};
	$h->{tainted} = $h->{judge}->begin('lost-hits');
	return sub {
		$_->() for @ends;
		_limit($h, 'as', 'unlimited');
	};
}

# --- Redis --------------------------------------------------------------------

sub
_redis_kill {
	my ($h, $name, $seconds) = @_;

	$h->redis->kill9;
	return sub { $h->redis->start };
}

sub
_redis_stop {
	my ($h) = @_;

	my $from = time;

	$h->redis->stop_signal;
	return sub {
		$h->redis->cont;
		# Until all begins anew.
		$h->{stopped} = max($h->{stopped} // 0, time - $from);
	};
}

sub
_redis_readonly {
	my ($h) = @_;

	$h->redis->cmd('REPLICAOF', '127.0.0.1', '1');
	return sub { $h->redis->cmd('REPLICAOF', 'NO', 'ONE') };
}

sub
_redis_full {
	my ($h) = @_;

	$h->redis->cmd('CONFIG', 'SET', 'maxmemory', '1');
	return sub { $h->redis->cmd('CONFIG', 'SET', 'maxmemory', '0') };
}

sub
_redis_clients {
	my ($h) = @_;

	for (1 .. 5 + int rand 20) {
		$h->redis->cmd('CLIENT', 'KILL', 'TYPE', $_, 'SKIPME', 'yes')
		    for 'normal', 'pubsub';
		sleep rand 0.1;
	}
	return;
}

sub
_redis_scripts {
	my ($h) = @_;

	for (1 .. 5) {
		$h->redis->cmd('SCRIPT', 'FLUSH');
		sleep rand 0.3;
	}
	return;
}

# Which offence was the first after it, only Redis knows. Until the next pause,
# where the model forgets as well, nothing but "no more than" is demanded.
sub
_redis_flush {
	my ($h) = @_;

	$h->redis->cmd('FLUSHALL');
	$h->{tainted} //= $h->{judge}->begin('forgotten');
	return;
}

1;
