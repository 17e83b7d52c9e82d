import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.text.ParseException;
import java.util.Date;
import java.util.TimeZone;
import org.quartz.CronExpression;

/**
 * Asks Quartz when expressions fire. Reads lines of "expression TAB zone TAB start TAB count", with the
 * start in seconds since the epoch; writes that many fire times after it, "never", or "error".
 */
public class Oracle {
  public static void main(String[] arguments) throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, false, "UTF-8");
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] parts = line.split("\t", -1);
      out.println(fireTimes(parts[0], parts[1], Long.parseLong(parts[2]), Integer.parseInt(parts[3])));
    }
    out.flush();
  }

  private static String fireTimes(String text, String zone, long start, int count) {
    CronExpression expression;
    try {
      expression = new CronExpression(text);
    } catch (ParseException | RuntimeException error) {
      return "error";
    }
    expression.setTimeZone(TimeZone.getTimeZone(zone));
    StringBuilder times = new StringBuilder();
    Date moment = new Date(start * 1000);
    for (int each = 0; each < count; each++) {
      moment = expression.getNextValidTimeAfter(moment);
      times.append(each == 0 ? "" : " ").append(moment == null ? "never" : moment.getTime() / 1000);
      if (moment == null) {
        break;
      }
    }
    return times.toString();
  }
}
