# What happens when Redis, or a daemon, does not do what it should, under a
# steady stream of offences and policy requests: answers keep their latency,
# who is blocked stays blocked, and afterwards every offence has been counted
# exactly once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use MxwardenTest;
use MxwardenTest::Offences;
use MxwardenTest::Stream;
use Test::More;
use Time::HiRes qw(sleep time);

skip_test('redis-server is not installed')
    if !have_program('redis-server') && !have_program('valkey-server');

my $known = '192.0.2.200';

sub
settled {
	my ($d) = @_;
	my $s = $d->ctl('status')->{store};

	return $s->{ready} && $s->{state} eq 'ready' && $s->{pending} == 0;
}

# scores(redis, counts): what is not as it should be.
sub
differences {
	my ($redis, $counts) = @_;
	my @bad;

	for my $addr (sort keys %$counts) {
		my $n = $counts->{$addr};
		my $have = $redis->hash("mxwarden:score:$addr")->{score} // 0;
		push @bad, "$addr: score $have, want $n" if $have != $n;
		my $strikes = $redis->cmd('GET', "mxwarden:strikes:$addr") // 0;
		my $want = $n >= 5 ? 1 : 0;
		push @bad, "$addr: $strikes strikes, want $want"
		    if $strikes != $want;
		my $block = $redis->cmd('GET', "mxwarden:block:$addr") // '';
		my $level = $n >= 10 ? 'reject ' : $n >= 5 ? 'defer ' : '';
		push @bad, "$addr: block '$block', want '$level'"
		    if $block !~ /\A$level/ || ($level eq '') != ($block eq '');
	}
	return @bad;
}

sub
wrong_on {
	my ($d, $counts) = @_;
	my @bad;

	for my $addr (sort keys %$counts) {
		my $n = $counts->{$addr};
		my $want = $n >= 10 ? 'REJECT' : $n >= 5 ? 'DEFER' : 'DUNNO';
		my $have = $d->ask(client_address => $addr);
		push @bad, "$addr: $have, want $want" if $have !~ /^$want/;
	}
	return @bad;
}

# One fault: what it does, with the redis and the two daemons.
sub
fault {
	my ($name, $code, %arg) = @_;
	my $redis = $arg{redis} // MxwardenTest::Redis->new(aof => $arg{aof});
	my @mx = map {
		MxwardenTest::Daemon->new(conf => offence_conf(
			store => $arg{url} // $redis->url, host => "mx$_",
			snapshot_interval => '200ms'));
	} 1 .. 2;

	wait_for { settled($mx[0]) && settled($mx[1]) } 10, 'the stores';
	$redis->cli('SET', "mxwarden:block:$known", 'reject', 'EX', '3600');
	wait_for { !grep { $_->ask(client_address => $known) !~ /^REJECT/ } @mx }
	    5, 'the block';
	my $s = MxwardenTest::Stream->new(daemons => \@mx,
		blocked => $known);
	sleep 0.5;
	my $back = $code->($redis, \@mx);
	$redis = $back if ref $back eq 'MxwardenTest::Redis';
	sleep 0.5;
	my $counts = $s->stop;
	$_->wait_read for @mx;
	wait_for { settled($mx[0]) && settled($mx[1]) } 30, 'the stores to settle';
	$arg{adjust}->($counts) if $arg{adjust};
	my @bad = differences($redis, $counts);
	is("@bad[0 .. ($#bad < 5 ? $#bad : 5)]", '',
	    "$name: every offence has been counted once (" .
	    scalar(keys %$counts) . ' addresses)');
	for my $d (@mx) {
		my @wrong;

		# The last decisions of the other host may be on their way.
		try_for { !(@wrong = wrong_on($d, $counts)) } 10;
		is("@wrong[0 .. ($#wrong < 5 ? $#wrong : 5)]", '',
		    "$name: the view agrees");
	}
	is($s->wrong, 0, "$name: who was blocked stayed blocked");
	is($s->late, 0, "$name: no late answer");
	note sprintf '%d answers, worst %.1f ms', $s->asked, $s->worst;
	note $mx[0]->proc->stderr if @bad || $s->wrong || $s->late;
	$_->stop for @mx;
	return;
}

fault('nothing wrong', sub { sleep 0.5 });

fault('kill -9 of Redis and restart', sub {
	my ($redis, $mx) = @_;

	$redis->kill9;
	# An attack on one host meanwhile is answered there.
	$mx->[0]->log_append(offence('10.9.9.9')) for 1 .. 10;
	wait_for { $mx->[0]->ask(client_address => '10.9.9.9') =~ /^REJECT/ } 5,
	    'the local block';
	my ($status, undef, $said) = $mx->[0]->ctl_full('block', '10.8.8.8');
	is($status, 2, 'block while Redis is away: an error');
	like($said, qr/on this host only/, '... that says what is done');
	like($mx->[0]->ask(client_address => '10.8.8.8'), qr/^REJECT/,
	    '... and it is done here');
	like($mx->[0]->ctl('status')->{store}{detail}, qr/deciding here/,
	    'status says who decides');
	sleep 1.5;
	$redis->start;
	wait_for { $mx->[1]->ask(client_address => '10.9.9.9') =~ /^REJECT/ } 10,
	    'the block to reach the other host';
	wait_for { settled($mx->[0]) } 10, 'the store';
	like($mx->[0]->ask(client_address => '10.8.8.8'), qr/^DUNNO/,
	    'what was done by hand ends with the return of Redis');
}, aof => 1, adjust => sub { $_[0]{'10.9.9.9'} = 10 });

fault('SIGSTOP for 10 s', sub {
	my ($redis, $mx) = @_;

	$redis->stop_signal;
	my $start = time;
	$mx->[1]->log_append(offence('10.9.9.9')) for 1 .. 10;
	wait_for { $mx->[1]->ask(client_address => '10.9.9.9') =~ /^REJECT/ } 5,
	    'the local block';
	note sprintf 'blocked here after %.0f ms', (time - $start) * 1000;
	my $left = 10 - (time - $start);
	sleep $left if $left > 0;
	$redis->cont;
	wait_for { $mx->[0]->ask(client_address => '10.9.9.9') =~ /^REJECT/ } 10,
	    'the block to reach the other host';
}, adjust => sub { $_[0]{'10.9.9.9'} = 10 });

fault('out of memory', sub {
	my ($redis, $mx) = @_;

	$redis->cmd('CONFIG', 'SET', 'maxmemory', '1');
	wait_for { $mx->[0]->ctl('status')->{store}{state} eq 'refused' } 5,
	    'the refusal';
	$mx->[0]->log_append(offence('10.9.9.9')) for 1 .. 10;
	wait_for { $mx->[0]->ask(client_address => '10.9.9.9') =~ /^REJECT/ } 5,
	    'the local block';
	sleep 1;
	$redis->cmd('CONFIG', 'SET', 'maxmemory', '0');
}, adjust => sub { $_[0]{'10.9.9.9'} = 10 });

fault('read-only replica', sub {
	my ($redis, $mx) = @_;

	$redis->cmd('CONFIG', 'SET', 'replica-serve-stale-data', 'yes');
	$redis->cmd('REPLICAOF', '127.0.0.1', '1');
	sleep 1.5;
	$redis->cmd('REPLICAOF', 'NO', 'ONE');
});

fault('CLIENT KILL in a loop', sub {
	my ($redis) = @_;
	my $end = time + 3;

	while (time < $end) {
		for my $type ('normal', 'pubsub') {
			$redis->cmd('CLIENT', 'KILL', 'TYPE', $type, 'SKIPME',
				'yes');
		}
		sleep 0.02;
	}
});

fault('SCRIPT FLUSH', sub {
	my ($redis) = @_;

	for (1 .. 5) {
		$redis->cmd('SCRIPT', 'FLUSH');
		sleep 0.2;
	}
});

fault('kill -9 of the daemons', sub {
	my ($redis, $mx) = @_;

	for my $round (1 .. 3) {
		$_->kill9 for @$mx;
		$redis->stop_signal if $round == 2;
		$_->start for @$mx;
		sleep 0.4;
		$_->kill9 for @$mx;
		sleep 0.2;
		$redis->cont if $round == 2;
		$_->start for @$mx;
		sleep 0.3;
	}
});

# FLUSHALL is somebody's will: blocks and scores begin anew, on all hosts.
{
	my $redis = MxwardenTest::Redis->new;
	my @mx = map {
		MxwardenTest::Daemon->new(conf => offence_conf(
			store => $redis->url, host => "mx$_"));
	} 1 .. 2;

	wait_for { settled($mx[0]) && settled($mx[1]) } 10, 'the stores';
	$mx[0]->log_append(offence('10.7.7.7')) for 1 .. 12;
	wait_for { $mx[1]->ask(client_address => '10.7.7.7') =~ /^REJECT/ } 5,
	    'the block';
	$redis->cmd('FLUSHALL');
	ok(try_for(sub {
		!grep { $_->ask(client_address => '10.7.7.7') !~ /^DUNNO/ } @mx
	}, 5), 'FLUSHALL unblocks on all hosts');
	$_->log_append(offence('10.7.7.7'), offence('10.7.7.7')) for @mx;
	wait_for { ($redis->hash('mxwarden:score:10.7.7.7')->{score} // 0) == 4 }
	    5, 'what comes then';
	pass('... and what comes then is counted from 0');
	is($mx[0]->ask(client_address => '10.7.7.7'), 'DUNNO', '... everywhere');

	# The same in the middle of a stream. What was counted before is gone, what
	# comes after is counted; which offence was the first after it only Redis
	# knows, so its counts are what everything else must agree with.
	my $s = MxwardenTest::Stream->new(daemons => \@mx, blocked => $known);
	# Each time something has been counted that is forgotten then.
	my $counting = sub {
		wait_for { $redis->cmd('EXISTS', map { "mxwarden:score:10.0.0.$_" }
		    0 .. 149) >= 20 } 10, 'offences to be counted';
	};
	for (1 .. 3) {
		$counting->();
		$redis->cmd('FLUSHALL');
	}
	$counting->();
	my $written = $s->stop;
	$_->wait_read for @mx;
	wait_for { settled($mx[0]) && settled($mx[1]) } 30, 'the stores to settle';
	my %counts = map { $_ => 0 + ($redis->hash("mxwarden:score:$_")->{score} //
	    0) } keys %$written;
	my @more = grep { $counts{$_} > $written->{$_} } keys %counts;
	is("@more", '', 'FLUSHALL in a stream: nothing is counted twice');
	my ($sum, $all) = (0, 0);
	$sum += $_ for values %counts;
	$all += $_ for values %$written;
	cmp_ok($sum, '>', 0, '... what came after it is counted');
	cmp_ok($sum, '<', $all, '... and what came before is not');
	my @bad = differences($redis, \%counts);
	is("@bad[0 .. ($#bad < 5 ? $#bad : 5)]", '',
	    '... blocks and strikes are those of the scores');
	for my $d (@mx) {
		my @wrong;
		wait_for { !(@wrong = wrong_on($d, \%counts)) } 10, "the view: @wrong";
		pass('... and the view agrees');
	}
	is($s->late, 0, '... no late answer');
	$_->stop for @mx;
}

# A score that somebody has deleted: this host, when it must decide alone, still
# counts by what it has seen. Once Redis decides again, that is over.
{
	my $redis = MxwardenTest::Redis->new;
	my $d = MxwardenTest::Daemon->new(conf => offence_conf(
		store => $redis->url, host => 'mx1'));
	my $key = 'mxwarden:score:10.6.6.6';

	wait_for { settled($d) } 10, 'the store';
	$d->log_append(offence('10.6.6.6')) for 1 .. 4;
	wait_for { ($redis->hash($key)->{score} // 0) == 4 } 10, 'the score';
	$redis->cmd('DEL', $key);
	$redis->cmd('CONFIG', 'SET', 'maxmemory', '1');
	$d->log_append(offence('10.6.6.6'));
	wait_for { $d->ask(client_address => '10.6.6.6') =~ /^DEFER/ } 10,
	    'the local block';
	$redis->cmd('CONFIG', 'SET', 'maxmemory', '0');
	wait_for { settled($d) } 30, 'the store to settle';
	wait_for { $d->ask(client_address => '10.6.6.6') eq 'DUNNO' } 30,
	    'the end of a block that Redis does not confirm';
	pass('what Redis does not confirm is over when it decides again');
	is($redis->hash($key)->{score}, 1, '... and counted there');
	$d->stop;
}

# The same, decided while blocks are still being read from Redis: what is behind
# the hits that wait goes last.
{
	my $redis = MxwardenTest::Redis->new;
	my $d = MxwardenTest::Daemon->new(conf => offence_conf(
		store => $redis->url, host => 'mx1'));
	my $key = 'mxwarden:score:10.6.6.7';
	my $asks = sub { $d->ask(client_address => '10.6.6.7') };

	wait_for { settled($d) } 10, 'the store';
	$d->log_append(offence('10.6.6.7')) for 1 .. 6;
	wait_for { ($redis->hash($key)->{score} // 0) == 6 } 10, 'the score';
	$redis->cmd('DEL', $key);
	$redis->cmd('CONFIG', 'SET', 'maxmemory', '1');
	$d->log_append(offence('10.6.6.7'));
	wait_for { $d->ctl('status')->{store}{pending} > 0 } 10, 'a hit that waits';
	$d->stop;
	$d->start;
	$d->log_append(offence('10.6.6.7')) for 1 .. 3;
	wait_for { $asks->() =~ /^REJECT/ } 10, 'the local block';
	$redis->cmd('CONFIG', 'SET', 'maxmemory', '0');
	wait_for { settled($d) } 30, 'the store to settle';
	wait_for { $asks->() =~ /^DEFER/ } 30, 'the level that Redis knows';
	pass('a level that Redis does not confirm is over as well');
	is($redis->hash($key)->{score}, 4, '... and its score is counted on');
	$d->stop;
}

done_testing;
