# Several logs at once: patterns, files that come later, logs that are none, and
# rule sets that are for another server.
use strict;
use warnings;

use Test::More;

use MxwardenTest;

my $dir = tmp_dir() . '/logs';
mkdir $dir or die "mkdir: $!";
sub stamp { my @t = gmtime; return sprintf '%s %2d %02d:%02d:%02d',
    (qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec))[$t[4]], @t[3, 2, 1, 0] }
sub lost { return stamp() . " mx postfix/smtpd[$_[1]]: lost connection after " .
    "AUTH from unknown[$_[0]]\n" }

spew("$dir/mx1.log", lost('192.0.2.1', 1));
spew("$dir/mx2.log", lost('192.0.2.2', 2));
# What rotation leaves belongs to mx1.log, and is older than it.
spew("$dir/mx1.log.1", lost('192.0.2.99', 3));
spew("$dir/mx1.log-20261120", lost('192.0.2.99', 4));
spew("$dir/mx1.log.2.gz", 'not really');
spew("$dir/other.txt", lost('192.0.2.99', 5));
my $d = MxwardenTest::Daemon->new(conf => {
	log => [["$dir/mx*.log*", { rules => ['postfix'], start => 'beginning' }],
	    ["$dir/other.txt.log", { rules => ['postfix'] }]],
});
sub paths { return join ' ', sort map { $_->{path} =~ m{([^/]+)\z} }
    @{$d->ctl('status')->{logs}} }
sub log_of { my ($name) = @_; my ($l) = grep { $_->{path} eq "$dir/$name" }
    @{$d->ctl('status')->{logs}}; return $l }

is(paths(), 'mx1.log mx2.log other.txt.log', 'the logs that a pattern matches');
wait_for { $d->score('192.0.2.1') && $d->score('192.0.2.2') } 10, 'both to score';
is($d->score('192.0.2.99'), 0, 'rotated files are no logs of their own');
is(log_of('other.txt.log')->{state}, 'missing', 'one is awaited');

# A new file is found, and read from its beginning.
spew("$dir/mx3.log", lost('192.0.2.3', 1));
wait_for { $d->score('192.0.2.3') } 20, 'a file that came later';
is(paths(), 'mx1.log mx2.log mx3.log other.txt.log', 'it is one of them');

# Positions outlive a restart, for each by itself.
$d->restart;
append("$dir/mx2.log", lost('192.0.2.2', 7));
wait_for { $d->score('192.0.2.2') == 4 } 10, 'the log to be followed on';
is($d->score('192.0.2.1'), 2, 'nothing is counted twice');

# A log that is none, and the counters of all kinds of lines.
append("$dir/mx3.log", "no header at all\n" x 3 . stamp() .
    " mx postfix/smtpd[1]: connect from a.example[192.0.2.9]\n" . stamp() .
    " mx postfix/smtpd[1]: disconnect from a.example[192.0.2.9] quit=1 commands=1\n");
wait_for { log_of('mx3.log')->{lines} == 5 } 10, 'its lines';
my $l = log_of('mx3.log');
is(join(' ', map { "$_=$l->{$_}" } qw(parsed unparsed matched unmatched)),
    'parsed=2 unparsed=3 matched=0 unmatched=1', 'how its lines are counted');
spew("$dir/mx4.log", "\0\xff binary\n" x 1500);
$d->wait_stderr(qr/mx4\.log: none of 1500 lines begins with time, host and program/, 20);
pass('a log that is no mail log is warned of');
$d->stop;
done_testing;
