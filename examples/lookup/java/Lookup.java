import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.time.Instant;
import redis.clients.jedis.JedisPooled;

/** Prints what Redis holds for the entities given. */
public class Lookup {
  static final Duration LIMIT = Duration.ofHours(1);

  public static void main(String[] entities) throws Exception {
    String model = System.getenv().getOrDefault("MODEL", "buyer-intent");
    ObjectMapper json = new ObjectMapper();
    try (JedisPooled redis = new JedisPooled(System.getenv().getOrDefault("REDIS_URL", "redis://localhost:6379/0"))) {
      for (String entity : entities) {
        String value = redis.get("pred:" + model + ":" + entity);
        JsonNode p = json.readTree(value == null ? "{}" : value);
        if (value == null) {
          System.out.println(entity + " missing");
        } else if (p.path("deleted").asBoolean()) {
          System.out.println(entity + " deleted");
        } else {
          Instant event = Instant.parse(p.get("event_time").asText());
          boolean fresh = Duration.between(event, Instant.now()).compareTo(LIMIT) < 0;
          System.out.println(entity + (fresh ? " fresh " : " stale ") + p.get("score") + " " + p.path("label").asText("-"));
        }
      }
    }
  }
}
